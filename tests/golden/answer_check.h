#pragma once

#include <map>
#include <string>
#include <vector>

#include "golden/dialects.h"
#include "golden/wire_file.h"

namespace staithe::tests {

using Variables = std::map<std::string, std::string>;

// Replaces ${NAME}. A name that was never saved stays, and the comparison shows it.
std::string expand(std::string text, const Variables& variables);

// What differs between an answer and what the step expects; empty when nothing does. Saves what the
// step saves.
std::vector<std::string> check_answer(const Step& step, Dialect dialect, const Answer& answer,
                                      Variables& variables);

}  // namespace staithe::tests
