#pragma once

#include <google/protobuf/repeated_ptr_field.h>
#include <google/protobuf/timestamp.pb.h>

#include <cstddef>
#include <cstdint>
#include <optional>
#include <string>
#include <string_view>
#include <vector>

#include "base/clock.h"
#include "base/result.h"
#include "model/catalogue.h"
#include "model/resource.h"
#include "service/violations.h"

// Checks that more than one kind of request needs.
namespace staithe::service {

using Texts = google::protobuf::RepeatedPtrField<std::string>;

// "zones[3]"
std::string element(std::string_view field, int index);

// An id that must be there.
void check_id(Violations& violations, const std::string& field, const std::string& id);
// An id that may be left out.
void check_optional_id(Violations& violations, const std::string& field, const std::string& id);

void check_host_label(Violations& violations, const std::string& field, const std::string& text);

// Present, and at most `length_max` characters. Says nothing about the form: true when that is
// still to be checked.
bool check_text(Violations& violations, const std::string& field, const std::string& text,
                std::size_t length_max);

// No text twice, letter case aside.
void check_unique(Violations& violations, const std::string& field, const Texts& texts);

// Every zone has the form of one and is in the catalogue; none twice.
void check_zones(Violations& violations, const std::string& field, const Texts& zones,
                 const model::Catalogue& catalogue);

void check_at_most(Violations& violations, const std::string& field, std::uint32_t number,
                   std::uint32_t number_max);

// What the requests that only name a resource carry: the id in its stored form, lower case.
Result<model::Id> read_id(const std::string& id);

// A point in time that the API's clock can be compared with. `field` is named when it is not valid
// (google/protobuf/timestamp.proto: years 1 to 9999).
std::optional<Timestamp> read_timestamp(Violations& violations, const std::string& field,
                                        const google::protobuf::Timestamp& time);

}  // namespace staithe::service
