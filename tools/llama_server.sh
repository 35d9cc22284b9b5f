#!/bin/bash
# Prints the path of a llama-server binary: the one on the PATH, or one built from source into the cache.
#
# The source is the MIT-licensed llama.cpp tree that the llama-cpp-python source distribution on PyPI carries.
set -euo pipefail
. "$(dirname "$0")/common.sh"

sdist_version=0.3.36
sdist_sha256=832db0699007f1be95a7e41ef12e88926b02ba836461e36a36372db2760c1a2e
target=$cache/llama

build() {
  # A native build uses every instruction of this processor, so the cache entry names it.
  local cpu want
  cpu=$(grep -m 1 -E '^(flags|Features)' /proc/cpuinfo | sha256sum | cut -c 1-12)
  want="$sdist_version $cpu"
  if [ -x "$target/llama-server" ] && [ "$(cat "$target/version" 2>/dev/null)" = "$want" ]; then return; fi

  say "llama-server is not installed: building it once from source into $target"
  say "(llama.cpp out of the PyPI package llama-cpp-python $sdist_version; about 10 minutes of processor time, kept afterwards)"
  local work=$target/work
  rm -rf "$work"
  mkdir -p "$work"
  if ! ls "$target"/llama_cpp_python-$sdist_version.tar.gz >/dev/null 2>&1; then
    say "downloading the source (77 MB)"
    [ -x "$cache/fetch-venv/bin/pip" ] || python3 -m venv "$cache/fetch-venv"
    echo "llama-cpp-python==$sdist_version --hash=sha256:$sdist_sha256" >"$work/requirements.txt"
    run_quietly "$target/download.log" "$cache/fetch-venv/bin/pip" download --disable-pip-version-check --no-deps \
      --no-binary llama-cpp-python -d "$target" -r "$work/requirements.txt"
  fi
  tar -xzf "$target/llama_cpp_python-$sdist_version.tar.gz" -C "$work" --strip-components=1 \
    "llama_cpp_python-$sdist_version/vendor/llama.cpp"

  local launcher=()
  if command -v ccache >/dev/null; then
    launcher=(-DCMAKE_C_COMPILER_LAUNCHER=ccache -DCMAKE_CXX_COMPILER_LAUNCHER=ccache)
  fi
  run_quietly "$target/configure.log" cmake -S "$work/vendor/llama.cpp" -B "$work/build" -G Ninja \
    -DCMAKE_BUILD_TYPE=Release -DBUILD_SHARED_LIBS=OFF -DGGML_NATIVE=ON -DGGML_OPENMP=OFF "${launcher[@]}" \
    -DLLAMA_BUILD_TESTS=OFF -DLLAMA_BUILD_EXAMPLES=OFF -DLLAMA_USE_PREBUILT_UI=OFF -DLLAMA_OPENSSL=OFF \
    -DLLAMA_BUILD_NUMBER=1 -DLLAMA_BUILD_COMMIT=sdist
  say "compiling with $jobs jobs"
  run_quietly "$target/build.log" nice cmake --build "$work/build" --target llama-server -j "$jobs"
  strip -o "$target/llama-server.new" "$work/build/bin/llama-server"
  mv "$target/llama-server.new" "$target/llama-server"
  echo "$want" >"$target/version"
  rm -rf "$work"
  say "built $target/llama-server"
}

if command -v llama-server >/dev/null; then
  command -v llama-server
  exit
fi
locked llama build >&2
echo "$target/llama-server"
