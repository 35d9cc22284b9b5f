#include "runtime/local/replica_files.h"

#include <fcntl.h>
#include <fmt/format.h>
#include <string.h>
#include <sys/stat.h>
#include <unistd.h>

#include <algorithm>
#include <cerrno>
#include <cstdio>
#include <filesystem>
#include <fstream>
#include <iterator>
#include <nlohmann/json.hpp>
#include <system_error>

#include "base/check.h"
#include "base/unique_fd.h"

namespace staithe::runtime {
namespace {

using Json = nlohmann::json;
namespace fs = std::filesystem;

Error file_error(std::string_view what, const std::string& path, int problem) {
  return Error{.code = Code::unavailable,
               .message = fmt::format("{} {}: {}", path, what, strerrordesc_np(problem))};
}

Result<void> write_file(const std::string& path, std::string_view text) {
  const UniqueFd file(::open(path.c_str(), O_WRONLY | O_CREAT | O_TRUNC | O_CLOEXEC, 0600));
  if (!file.is_open()) return file_error("cannot be opened", path, errno);
  while (!text.empty()) {
    const ssize_t count = ::write(file.get(), text.data(), text.size());
    if (count < 0 && errno == EINTR) continue;
    if (count < 0) return file_error("cannot be written", path, errno);
    text.remove_prefix(static_cast<std::size_t>(count));
  }
  return {};
}

// Records of one node and its slots were written before replicas could span nodes.
std::vector<model::ReplicaPart> read_parts(const Json& json) {
  const auto part_of = [](const Json& object) {
    return model::ReplicaPart{
        .node_id = object.at("node").get<std::string>(),
        .gpu_slots = object.at("gpu_slots").get<std::vector<std::uint32_t>>()};
  };
  const auto found = json.find("parts");
  if (found == json.end()) return {part_of(json)};
  std::vector<model::ReplicaPart> parts{part_of(found->at(0))};
  for (std::size_t i = 1; i < found->size(); ++i) parts.push_back(part_of(found->at(i)));
  return parts;
}

Json to_json(const ReplicaSpec& spec) {
  Json parts = Json::array();
  for (const model::ReplicaPart& part : spec.parts) {
    parts.push_back({{"node", part.node_id}, {"gpu_slots", part.gpu_slots}});
  }
  return {{"id", spec.id},
          {"deployment", spec.deployment_id},
          {"organization", spec.organization_id},
          {"parts", std::move(parts)},
          {"engine", spec.runtime.engine},
          {"version", spec.runtime.version},
          {"engine_config", spec.runtime.engine_config},
          {"engine_env", spec.runtime.engine_env},
          {"model", spec.model.name},
          {"bucket", spec.model.bucket},
          {"path", spec.model.path},
          {"concurrency", spec.concurrency}};
}

void from_json(const Json& json, ReplicaSpec& spec) {
  json.at("id").get_to(spec.id);
  json.at("deployment").get_to(spec.deployment_id);
  json.at("organization").get_to(spec.organization_id);
  spec.parts = read_parts(json);
  json.at("engine").get_to(spec.runtime.engine);
  json.at("version").get_to(spec.runtime.version);
  json.at("engine_config").get_to(spec.runtime.engine_config);
  json.at("engine_env").get_to(spec.runtime.engine_env);
  json.at("model").get_to(spec.model.name);
  json.at("bucket").get_to(spec.model.bucket);
  json.at("path").get_to(spec.model.path);
  json.at("concurrency").get_to(spec.concurrency);
}

}  // namespace

std::string encode(const ReplicaRecord& record) {
  const Json json = {{"spec", to_json(record.spec)},
                     {"port", record.port},
                     {"boot", record.boot_id},
                     {"pid", record.process.pid},
                     {"start_ticks", record.process.start_ticks}};
  return json.dump(2, ' ', false, Json::error_handler_t::replace) + "\n";
}

Result<ReplicaRecord> decode_record(std::string_view text) {
  ReplicaRecord record;
  try {
    const Json json = Json::parse(text);
    from_json(json.at("spec"), record.spec);
    json.at("port").get_to(record.port);
    json.at("boot").get_to(record.boot_id);
    json.at("pid").get_to(record.process.pid);
    json.at("start_ticks").get_to(record.process.start_ticks);
  } catch (const Json::exception& problem) {
    return Error{.code = Code::data_loss,
                 .message = fmt::format("a replica record does not parse: {}", problem.what())};
  }
  return record;
}

ReplicaFiles::ReplicaFiles(std::string_view engines_directory, std::string_view replica_id)
    : directory_(fmt::format("{}/{}", engines_directory, replica_id)) {
  CHECK(is_usable_id(replica_id));
}

bool ReplicaFiles::is_usable_id(std::string_view replica_id) {
  constexpr std::size_t size_max = 200;
  return !replica_id.empty() && replica_id.size() <= size_max && replica_id.front() != '.' &&
         std::all_of(replica_id.begin(), replica_id.end(), [](char letter) {
           return (letter >= 'a' && letter <= 'z') || (letter >= 'A' && letter <= 'Z') ||
                  (letter >= '0' && letter <= '9') || letter == '.' || letter == '_' ||
                  letter == '-';
         });
}

std::vector<std::string> ReplicaFiles::find_ids(const std::string& engines_directory) {
  std::vector<std::string> ids;
  std::error_code problem;
  for (fs::directory_iterator entry(engines_directory, problem);
       !problem && entry != fs::directory_iterator(); entry.increment(problem)) {
    std::string id = entry->path().filename().string();
    std::error_code unused;
    if (is_usable_id(id) && entry->is_directory(unused)) ids.push_back(std::move(id));
  }
  return ids;
}

Result<void> ReplicaFiles::create() const {
  if (::mkdir(directory_.c_str(), 0700) != 0 && errno != EEXIST) {
    return file_error("cannot be made", directory_, errno);
  }
  return {};
}

Result<void> ReplicaFiles::write(const ReplicaRecord& record) const {
  const std::string path = directory_ + "/replica.json";
  const std::string fresh_path = path + ".new";
  TRY(write_file(fresh_path, encode(record)));
  if (std::rename(fresh_path.c_str(), path.c_str()) != 0) {
    return file_error("cannot be replaced", path, errno);
  }
  return {};
}

Result<ReplicaRecord> ReplicaFiles::read() const {
  std::ifstream file(directory_ + "/replica.json", std::ios::binary);
  if (!file.is_open()) {
    return Error{.code = Code::not_found, .message = directory_ + " has no record"};
  }
  const std::string text((std::istreambuf_iterator<char>(file)), std::istreambuf_iterator<char>());
  return decode_record(text);
}

bool ReplicaFiles::exists() const {
  std::error_code unused;
  return fs::is_directory(directory_, unused);
}

Result<void> ReplicaFiles::remove() const {
  std::error_code problem;
  fs::remove_all(directory_, problem);
  if (problem) {
    return Error{.code = Code::unavailable,
                 .message = fmt::format("{} cannot be removed: {}", directory_, problem.message())};
  }
  return {};
}

}  // namespace staithe::runtime
