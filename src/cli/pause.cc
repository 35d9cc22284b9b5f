#include "cli/pause.h"

#include <poll.h>

namespace staithe::cli {

void pause_for(std::chrono::milliseconds time) {
  ::poll(nullptr, 0, static_cast<int>(time.count()));
}

}  // namespace staithe::cli
