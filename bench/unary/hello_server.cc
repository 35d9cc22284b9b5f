// gRPC's own C++ server saying hello, the yardstick of bench/unary/run.py:
//   hello_server callback|async
// Prints its port and serves on 127.0.0.1 until it is ended. `callback` is the API its authors
// recommend; `async` is one thread on one completion queue, the least it can do.
#include <grpcpp/grpcpp.h>

#include <cstdio>
#include <memory>
#include <string>
#include <string_view>
#include <vector>

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

// One call of the asynchronous API: a slot that greets one caller after the other.
class AsyncCall {
 public:
  AsyncCall(Greeter::AsyncService& service, grpc::ServerCompletionQueue& queue)
      : service_(service), queue_(queue) {
    wait();
  }
  // `is_ok` is false when the client went away or the server ends.
  void go_on(bool is_ok) {
    if (is_answered_ || !is_ok) return wait();
    greet(turn_->request, turn_->reply);
    is_answered_ = true;
    turn_->responder.Finish(turn_->reply, grpc::Status::OK, this);
  }

 private:
  // What gRPC wants anew for each call.
  struct Turn {
    grpc::ServerContext context;
    HelloRequest request;
    HelloReply reply;
    grpc::ServerAsyncResponseWriter<HelloReply> responder{&context};
  };

  void wait() {
    is_answered_ = false;
    turn_ = std::make_unique<Turn>();
    service_.RequestSayHello(&turn_->context, &turn_->request, &turn_->responder, &queue_, &queue_,
                             this);
  }

  Greeter::AsyncService& service_;
  grpc::ServerCompletionQueue& queue_;
  std::unique_ptr<Turn> turn_;
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
  constexpr std::size_t waiting_calls = 512;
  Greeter::AsyncService service;
  grpc::ServerBuilder builder;
  builder.RegisterService(&service);
  const std::unique_ptr<grpc::ServerCompletionQueue> queue = builder.AddCompletionQueue();
  const std::unique_ptr<grpc::Server> server = start(builder);
  std::vector<std::unique_ptr<AsyncCall>> calls;
  while (calls.size() < waiting_calls) {
    calls.push_back(std::make_unique<AsyncCall>(service, *queue));
  }
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
