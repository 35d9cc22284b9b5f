#pragma once

#include <cstddef>
#include <string>

namespace staithe::bench {

// How many of each: 100,000 records. Deployments are the longest records there are, so this is more
// to read than a more even mix.
struct Mix {
  std::size_t claims = 1'000;
  std::size_t gateways = 4'720;
  std::size_t deployments = 93'000;
  // And the 1,280 nodes of `staithe serve --emulate`.
};

// Makes the database FOLDER/staithe.db with a converged installation: claims that have their nodes,
// gateways with the endpoints of `public_url`, and deployments that are disabled, because whatever
// starts this database would start an engine for each replica. All of it belongs to `organization`.
void fill(const std::string& folder, const Mix& mix, const std::string& organization,
          const std::string& public_url);

}  // namespace staithe::bench
