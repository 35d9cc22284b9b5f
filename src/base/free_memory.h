#pragma once

#include <string>

namespace staithe {

// Empties a text and gives its memory back, which neither clear() nor `text = {}` does.
inline void free_memory(std::string& text) {
  std::string().swap(text);
}

}  // namespace staithe
