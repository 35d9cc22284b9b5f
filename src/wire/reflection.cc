#include "wire/reflection.h"

#include <fmt/format.h>
#include <google/protobuf/descriptor.h>
#include <google/protobuf/descriptor.pb.h>

#include <memory>
#include <set>
#include <string>
#include <utility>
#include <vector>

#include "grpc/reflection/v1/reflection.pb.h"
#include "grpc/reflection/v1alpha/reflection.pb.h"

namespace staithe::wire {
namespace {

using google::protobuf::DescriptorPool;
using google::protobuf::FieldDescriptor;
using google::protobuf::FileDescriptor;

using Names = std::shared_ptr<const std::set<std::string>>;

const DescriptorPool& pool() {
  return *DescriptorPool::generated_pool();
}

// The file behind those it needs, none twice.
void collect(const FileDescriptor& file, std::set<const FileDescriptor*>& seen,
             std::vector<const FileDescriptor*>& files) {
  if (!seen.insert(&file).second) return;
  for (int i = 0; i < file.dependency_count(); ++i) collect(*file.dependency(i), seen, files);
  files.push_back(&file);
}

template <typename Response>
void add_files(const FileDescriptor* file, std::string_view name, Response& response) {
  if (file == nullptr) {
    response.mutable_error_response()->set_error_code(static_cast<int>(Code::not_found));
    response.mutable_error_response()->set_error_message(fmt::format("{} is not known", name));
    return;
  }
  std::set<const FileDescriptor*> seen;
  std::vector<const FileDescriptor*> files;
  collect(*file, seen, files);
  // The one that was asked for comes first.
  for (auto next = files.rbegin(); next != files.rend(); ++next) {
    google::protobuf::FileDescriptorProto proto;
    (*next)->CopyTo(&proto);
    (*next)->CopyJsonNameTo(&proto);  // without them clients print the names of the .proto file
    response.mutable_file_descriptor_response()->add_file_descriptor_proto(
        proto.SerializeAsString());
  }
}

const FileDescriptor* find_extension(const std::string& type, int number) {
  const auto* message = pool().FindMessageTypeByName(type);
  if (message == nullptr) return nullptr;
  const FieldDescriptor* extension = pool().FindExtensionByNumber(message, number);
  return extension == nullptr ? nullptr : extension->file();
}

template <typename Response>
void add_extensions(const std::string& type, Response& response) {
  const auto* message = pool().FindMessageTypeByName(type);
  if (message == nullptr) return add_files(nullptr, type, response);
  auto& numbers = *response.mutable_all_extension_numbers_response();
  numbers.set_base_type_name(type);
  std::vector<const FieldDescriptor*> extensions;
  pool().FindAllExtensions(message, &extensions);
  for (const FieldDescriptor* extension : extensions) {
    numbers.add_extension_number(extension->number());
  }
}

template <typename Request, typename Response>
class Reflection final : public CallStream {
 public:
  Reflection(Names services, std::shared_ptr<AnswerStream> answers)
      : services_(std::move(services)), answers_(std::move(answers)) {}

  void on_message(MessagePtr message) override {
    const auto& request = static_cast<const Request&>(*message);
    auto response = std::make_unique<Response>();
    response->set_valid_host(request.host());
    *response->mutable_original_request() = request;
    answer(request, *response);
    answers_->send(std::move(response));
  }
  void on_end() override { answers_->end({}, {}); }

 private:
  void answer(const Request& request, Response& response) {
    switch (request.message_request_case()) {
      case Request::kFileByFilename:
        return add_files(pool().FindFileByName(request.file_by_filename()),
                         request.file_by_filename(), response);
      case Request::kFileContainingSymbol:
        return add_files(pool().FindFileContainingSymbol(request.file_containing_symbol()),
                         request.file_containing_symbol(), response);
      case Request::kFileContainingExtension: {
        const auto& extension = request.file_containing_extension();
        return add_files(find_extension(extension.containing_type(), extension.extension_number()),
                         fmt::format("extension {} of {}", extension.extension_number(),
                                     extension.containing_type()),
                         response);
      }
      case Request::kAllExtensionNumbersOfType:
        return add_extensions(request.all_extension_numbers_of_type(), response);
      case Request::kListServices:
        for (const std::string& name : *services_) {
          response.mutable_list_services_response()->add_service()->set_name(name);
        }
        return;
      case Request::MESSAGE_REQUEST_NOT_SET:
        break;
    }
    response.mutable_error_response()->set_error_code(static_cast<int>(Code::invalid_argument));
    response.mutable_error_response()->set_error_message("the request asks for nothing");
  }

  const Names services_;
  const std::shared_ptr<AnswerStream> answers_;
};

template <typename Request, typename Response>
void add_version(MethodTable& table, std::string service, Names services) {
  Method line;
  line.service = std::move(service);
  line.name = "ServerReflectionInfo";
  line.is_public = true;
  line.kind = Method::Kind::bidi_stream;
  line.request = &Request::default_instance();
  line.response = &Response::default_instance();
  line.open = [services = std::move(services)](Call, std::shared_ptr<AnswerStream> answers) {
    return std::make_unique<Reflection<Request, Response>>(services, std::move(answers));
  };
  table.push_back(std::move(line));
}

}  // namespace

void add_reflection(MethodTable& table) {
  namespace v1 = ::grpc::reflection::v1;
  namespace v1alpha = ::grpc::reflection::v1alpha;
  const std::string name = "grpc.reflection.v1.ServerReflection";
  const std::string alpha_name = "grpc.reflection.v1alpha.ServerReflection";
  std::set<std::string> services{name, alpha_name};
  for (const Method& method : table) services.insert(method.service);
  const auto shared = std::make_shared<const std::set<std::string>>(std::move(services));
  add_version<v1::ServerReflectionRequest, v1::ServerReflectionResponse>(table, name, shared);
  add_version<v1alpha::ServerReflectionRequest, v1alpha::ServerReflectionResponse>(
      table, alpha_name, shared);
}

}  // namespace staithe::wire
