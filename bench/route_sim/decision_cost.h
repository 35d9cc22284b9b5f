#pragma once

namespace staithe::bench {

// Times single decisions of the gateway's own code and prints what they cost.
void print_decision_cost();

}  // namespace staithe::bench
