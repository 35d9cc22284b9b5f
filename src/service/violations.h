#pragma once

#include <string>
#include <string_view>
#include <vector>

#include "base/result.h"
#include "service/errors.h"

namespace staithe::service {

// Gathers what is wrong with a request, in field order. Beyond errors::violations_max it stops
// listing: a request of a million bad keys gets a short answer.
class Violations {
 public:
  // "<field> <problem>", as in add("name", "is required").
  void add(const std::string& field, std::string_view problem) {
    if (found_.size() < errors::violations_max) {
      found_.push_back({.field = field, .description = field + " " + std::string(problem)});
    }
  }

  // A sentence that does not begin with the field.
  void add_sentence(std::string field, std::string description) {
    if (found_.size() < errors::violations_max) {
      found_.push_back({.field = std::move(field), .description = std::move(description)});
    }
  }

  Result<void> result() && {
    if (found_.empty()) return {};
    return errors::invalid(std::move(found_));
  }

 private:
  std::vector<FieldViolation> found_;
};

}  // namespace staithe::service
