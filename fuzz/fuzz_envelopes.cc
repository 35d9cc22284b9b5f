#include <string>
#include <vector>

#include "base/encoding.h"
#include "coreweave/inference/v1alpha1/gateway.pb.h"
#include "fuzz_input.h"
#include "wire/base64_stream.h"
#include "wire/envelope.h"

namespace staithe::fuzz {
namespace {

namespace pb = ::coreweave::inference::v1alpha1;

constexpr std::size_t bytes_max = 1'000;

struct Taken {
  bool is_good = true;
  bool is_end_good = false;
  std::vector<std::string> messages;

  bool operator==(const Taken&) const = default;
};

Taken take(std::string_view bytes, std::size_t piece_size, wire::EnvelopeForm form) {
  wire::EnvelopeReader reader(form, pb::UpdateGatewayRequest::default_instance(),
                              wire::EnvelopeReader::Count::any);
  Taken taken;
  for (std::size_t at = 0; at < bytes.size(); at += piece_size) {
    reader.add(bytes.substr(at, piece_size));
    while (true) {
      const auto message = reader.next();
      if (!message) {
        taken.is_good = false;
        return taken;
      }
      if (*message == nullptr) break;
      taken.messages.push_back((*message)->SerializeAsString());
    }
  }
  taken.is_end_good = reader.take_end().has_value();
  return taken;
}

// However a body is cut, it holds the same messages and ends in the same way.
void check_reader(std::string_view bytes, wire::EnvelopeForm form) {
  const Taken by_bytes = take(bytes, 1, form);
  CHECK(by_bytes == take(bytes, 7, form));
  CHECK(by_bytes == take(bytes, bytes.size() + 1, form));
}

void check_envelopes(std::string_view bytes) {
  std::string_view rest = bytes;
  while (true) {
    const std::size_t before = rest.size();
    const auto envelope = wire::take_envelope(rest, bytes_max);
    if (!envelope || !*envelope) {
      CHECK(rest.size() == before);
      return;
    }
    CHECK((*envelope)->payload.size() <= bytes_max);
    CHECK(rest.size() + wire::Envelope::head_bytes + (*envelope)->payload.size() == before);
    std::string drawn;
    wire::append_envelope(drawn, (*envelope)->flags, (*envelope)->payload);
    CHECK(bytes.substr(bytes.size() - before, drawn.size()) == drawn);
  }
}

// The text format of gRPC-Web: the same bytes however it is cut.
void check_base64(std::string_view text) {
  std::vector<std::optional<std::string>> results;
  for (const std::size_t piece_size : {std::size_t{1}, std::size_t{7}, text.size() + 1}) {
    wire::Base64Decoder decoder;
    std::optional<std::string> plain(std::in_place);
    for (std::size_t at = 0; plain && at < text.size(); at += piece_size) {
      const auto piece = decoder.take(text.substr(at, piece_size));
      if (piece) {
        *plain += *piece;
      } else {
        plain.reset();
      }
    }
    if (plain && !decoder.is_whole()) plain->append("...");
    results.push_back(std::move(plain));
  }
  CHECK(results[0] == results[1] && results[0] == results[2]);
}

}  // namespace

extern "C" int LLVMFuzzerTestOneInput(const std::uint8_t* data, std::size_t size) {
  const std::string_view bytes = text_of(data, size);
  check_envelopes(bytes);
  for (const auto format : {wire::MessageFormat::proto, wire::MessageFormat::json}) {
    for (const auto encoding : {wire::Encoding::identity, wire::Encoding::gzip}) {
      check_reader(bytes, {.format = format, .request_encoding = encoding, .bytes_max = bytes_max});
    }
  }
  check_base64(bytes);
  const std::string text = base64(bytes);
  wire::Base64Decoder decoder;
  const auto plain = decoder.take(text);
  CHECK(plain && *plain == bytes && decoder.is_whole());
  return 0;
}

}  // namespace staithe::fuzz
