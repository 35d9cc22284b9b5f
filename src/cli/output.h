#pragma once

#include <nlohmann/json.hpp>

#include <ostream>
#include <string>
#include <vector>

#include "base/result.h"

// What the commands print: tables, times and refusals.
namespace staithe::cli {

inline constexpr int exit_refused = 1;
inline constexpr int exit_usage = 2;
inline constexpr int exit_timeout = 3;

// Ends a command with exit_usage.
Error usage_error(std::string message);

// The code, the sentence, and a line for every field that adds something to it.
void print_error(std::ostream& err, const Error& error);

using Row = std::vector<std::string>;
// Rows of equal length below each other, the first one is the heading. `indent` stands before each
// line.
void print_table(std::ostream& out, const std::vector<Row>& rows, std::string_view indent = {});

// "12s", "5m", "3h", "2d": how long ago a time of the API was, or how far ahead it is.
std::string age(const std::string& time);

// "1 replica", "2 replicas".
std::string counted(std::uint64_t count, std::string_view noun);
// "STATUS_READY" without its prefix.
std::string without_prefix(const std::string& word, std::string_view prefix);
// "READY", the status of a claim, gateway or deployment.
std::string short_status(const nlohmann::json& resource);

// Members of an object that somebody else wrote; what is absent or of another type is empty, zero
// or false.
std::string text_of(const nlohmann::json& object, const char* key);
std::uint64_t number_of(const nlohmann::json& object, const char* key);
bool flag_of(const nlohmann::json& object, const char* key);
nlohmann::json list_of(const nlohmann::json& object, const char* key);

}  // namespace staithe::cli
