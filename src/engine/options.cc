#include "engine/options.h"

#include <charconv>
#include <optional>

namespace staithe::engine {
namespace {

struct FaultName {
  std::string_view name;
  Fault::Kind kind;
  bool has_amount;
};
constexpr FaultName fault_names[] = {
    {"none", Fault::Kind::none, false},
    {"slow-first-byte", Fault::Kind::slow_first_byte, true},
    {"reset-before", Fault::Kind::reset_before, false},
    {"reset-mid", Fault::Kind::reset_mid, true},
    {"hang", Fault::Kind::hang, false},
    {"hang-mid", Fault::Kind::hang_mid, true},
    {"flood", Fault::Kind::flood, true},
    {"status", Fault::Kind::status, true},
};

std::optional<std::uint32_t> read_amount(std::string_view text) {
  std::uint32_t amount = 0;
  const auto [end, problem] = std::from_chars(text.data(), text.data() + text.size(), amount);
  if (problem != std::errc{} || end != text.data() + text.size()) return std::nullopt;
  return amount;
}

}  // namespace

Result<Fault> parse_fault(std::string_view text) {
  const auto equals = text.find('=');
  for (const FaultName& candidate : fault_names) {
    if (text.substr(0, equals) != candidate.name) continue;
    if (!candidate.has_amount && equals == std::string_view::npos) {
      return Fault{.kind = candidate.kind};
    }
    if (!candidate.has_amount || equals == std::string_view::npos) break;
    const auto amount = read_amount(text.substr(equals + 1));
    if (!amount) break;
    if (candidate.kind == Fault::Kind::status && (*amount < 400 || *amount > 599)) break;
    return Fault{.kind = candidate.kind, .amount = *amount};
  }
  return Error{.code = Code::invalid_argument,
               .message =
                   "a fault is none, slow-first-byte=MS, reset-before, reset-mid=N, hang, "
                   "hang-mid=N, flood=N or status=400..599"};
}

}  // namespace staithe::engine
