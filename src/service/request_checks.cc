#include "service/request_checks.h"

#include <fmt/format.h>

#include <algorithm>
#include <set>

#include "base/encoding.h"
#include "model/capacity_claim.h"
#include "service/rules.h"

namespace staithe::service {

std::string element(std::string_view field, int index) {
  return fmt::format("{}[{}]", field, index);
}

void check_id(Violations& violations, const std::string& field, const std::string& id) {
  if (id.empty()) {
    violations.add(field, "is required");
  } else {
    check_optional_id(violations, field, id);
  }
}

void check_optional_id(Violations& violations, const std::string& field, const std::string& id) {
  if (!id.empty() && !rules::is_uuid(id)) violations.add(field, "must be a valid UUID");
}

void check_host_label(Violations& violations, const std::string& field, const std::string& text) {
  if (text.empty()) {
    violations.add(field, "is required");
  } else if (!rules::is_host_label(text)) {
    violations.add(field,
                   "must be 1 to 63 letters, digits or hyphens, with a letter or digit at both "
                   "ends");
  }
}

bool check_text(Violations& violations, const std::string& field, const std::string& text,
                std::size_t length_max) {
  if (text.empty()) {
    violations.add(field, "is required");
    return false;
  }
  if (rules::length(text) > length_max) {
    violations.add(field, fmt::format("must be at most {} characters", length_max));
  }
  return true;
}

void check_unique(Violations& violations, const std::string& field, const Texts& texts) {
  std::set<std::string> seen;
  const bool unique = std::all_of(texts.begin(), texts.end(), [&seen](const std::string& text) {
    return seen.insert(to_lower(text)).second;
  });
  if (!unique) violations.add(field, "must not contain duplicates");
}

void check_zones(Violations& violations, const std::string& field, const Texts& zones,
                 const model::Catalogue& catalogue) {
  check_unique(violations, field, zones);
  for (int i = 0; i < zones.size(); ++i) {
    if (!rules::is_zone(model::fold_zone(zones[i]))) {
      violations.add(element(field, i), "must be a valid zone");
    } else if (!catalogue.has_zone(zones[i])) {
      violations.add(element(field, i), "is not an available zone");
    }
  }
}

void check_at_most(Violations& violations, const std::string& field, std::uint32_t number,
                   std::uint32_t number_max) {
  if (number > number_max) violations.add(field, fmt::format("must be at most {}", number_max));
}

Result<model::Id> read_id(const std::string& id) {
  Violations violations;
  check_id(violations, "id", id);
  TRY(std::move(violations).result());
  return to_lower(id);
}

std::optional<Timestamp> read_timestamp(Violations& violations, const std::string& field,
                                        const google::protobuf::Timestamp& time) {
  constexpr std::int64_t first_second = -62'135'596'800;  // 0001-01-01T00:00:00Z
  constexpr std::int64_t last_second = 253'402'300'799;   // 9999-12-31T23:59:59Z
  if (time.seconds() < first_second || time.seconds() > last_second || time.nanos() < 0 ||
      time.nanos() > 999'999'999) {
    violations.add(field, "must be a valid timestamp");
    return std::nullopt;
  }
  // Digits below a microsecond are cut. "Strictly later" stays exact: a time in whole microseconds
  // is later than the uncut time exactly if it is later than the cut one.
  return Timestamp{std::chrono::seconds{time.seconds()} +
                   std::chrono::microseconds{time.nanos() / 1000}};
}

}  // namespace staithe::service
