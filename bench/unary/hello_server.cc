// gRPC's own C++ server saying hello, the yardstick of bench/unary.py:
//   hello_server callback|async
// Prints its port and serves on 127.0.0.1 until it is ended. `callback` is the API its authors
// recommend; `async` is one thread on one completion queue, the least it can do.
#include <grpcpp/grpcpp.h>

#include <cstdio>
#include <memory>
#include <string>
#include <string_view>

#include "hello.grpc.pb.h"

namespace {

using staithe::bench::Greeter;
using staithe::bench::HelloReply;
using staithe::bench::HelloRequest;

void greet(const HelloRequest& request, HelloReply& reply) {
  reply.set_message("Hello " + request.name());
}

std::unique_ptr<grpc::Server> start(grpc::ServerBuilder& builder) {
  int port = 0;
  builder.AddListeningPort("127.0.0.1:0", grpc::InsecureServerCredentials(), &port);
  std::unique_ptr<grpc::Server> server = builder.BuildAndStart();
  std::printf("%d\n", port);
  std::fflush(stdout);
  return server;
}

class CallbackGreeter final : public Greeter::CallbackService {
  grpc::ServerUnaryReactor* SayHello(grpc::CallbackServerContext* context,
                                     const HelloRequest* request, HelloReply* reply) override {
    greet(*request, *reply);
    grpc::ServerUnaryReactor* const reactor = context->DefaultReactor();
    reactor->Finish(grpc::Status::OK);
    return reactor;
  }
};

// One call of the asynchronous API; it asks for its successor when it is begun.
class AsyncCall {
 public:
  AsyncCall(Greeter::AsyncService& service, grpc::ServerCompletionQueue& queue)
      : service_(service), queue_(queue), responder_(&context_) {
    service_.RequestSayHello(&context_, &request_, &responder_, &queue_, &queue_, this);
  }
  // `is_ok` is false when the client went away or the server ends.
  void go_on(bool is_ok) {
    if (is_answered_ || !is_ok) {
      delete this;
      return;
    }
    new AsyncCall(service_, queue_);
    greet(request_, reply_);
    is_answered_ = true;
    responder_.Finish(reply_, grpc::Status::OK, this);
  }

 private:
  Greeter::AsyncService& service_;
  grpc::ServerCompletionQueue& queue_;
  grpc::ServerContext context_;
  HelloRequest request_;
  HelloReply reply_;
  grpc::ServerAsyncResponseWriter<HelloReply> responder_;
  bool is_answered_ = false;
};

int serve_callback() {
  CallbackGreeter greeter;
  grpc::ServerBuilder builder;
  builder.RegisterService(&greeter);
  start(builder)->Wait();
  return 0;
}

int serve_async() {
  constexpr int waiting_calls = 256;
  Greeter::AsyncService service;
  grpc::ServerBuilder builder;
  builder.RegisterService(&service);
  const std::unique_ptr<grpc::ServerCompletionQueue> queue = builder.AddCompletionQueue();
  const std::unique_ptr<grpc::Server> server = start(builder);
  for (int i = 0; i < waiting_calls; ++i) new AsyncCall(service, *queue);
  void* tag = nullptr;
  bool is_ok = false;
  while (queue->Next(&tag, &is_ok)) static_cast<AsyncCall*>(tag)->go_on(is_ok);
  return 0;
}

}  // namespace

int main(int argument_count, char** arguments) {
  const std::string_view api = argument_count == 2 ? arguments[1] : "";
  if (api == "callback") return serve_callback();
  if (api == "async") return serve_async();
  std::fprintf(stderr, "usage: hello_server callback|async\n");
  return 2;
}
