#include <google/protobuf/util/message_differencer.h>

#include <string>

#include "coreweave/inference/v1alpha1/deployment.pb.h"
#include "fuzz_input.h"
#include "wire/json_mapper.h"

namespace staithe::fuzz {

// What was accepted, written in either spelling, is read as the same message again.
extern "C" int LLVMFuzzerTestOneInput(const std::uint8_t* data, std::size_t size) {
  using coreweave::inference::v1alpha1::CreateDeploymentRequest;
  for (const auto spelling : {wire::Spelling::rest, wire::Spelling::descriptor}) {
    CreateDeploymentRequest first;
    if (!wire::parse_json(text_of(data, size), spelling, first)) continue;
    const std::string text = wire::print_json(first, spelling);
    CreateDeploymentRequest second;
    CHECK_THAT(wire::parse_json(text, spelling, second), text);
    CHECK_THAT(google::protobuf::util::MessageDifferencer::Equals(first, second), text);
  }
  return 0;
}

}  // namespace staithe::fuzz
