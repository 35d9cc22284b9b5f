#pragma once

#include <string>
#include <string_view>

#include "net/exchange.h"
#include "wire/api_handler.h"

namespace staithe::wire {

// What is alike in all calls, whether they stream or not: who calls, until when, how it is
// answered and counted. Of the loop's thread.
class CallExchange : public net::ExchangeHandler {
 public:
  struct Parts {
    const ApiContext& context;
    net::Exchange& exchange;
    const Dialect& dialect;
    RawRequest request;
    Dialect::Chosen chosen;
  };

 protected:
  explicit CallExchange(Parts parts);
  ~CallExchange() override;

  // Who calls, unless the method is public. The error says nothing about why there is nobody.
  Result<auth::Principal> authenticate() const;
  // The principal with the role the method asks for.
  Result<auth::Principal> authorize() const;
  // The method's context. Starts the deadline, whose passing is told to on_deadline().
  Result<Call> begin(auth::Principal principal);
  virtual void on_deadline() = 0;

  void send(RawAnswer answer, Code code);
  // Both let the page of another origin read the answer, if it may.
  void send_head(RawAnswer answer);
  void finish(const RawAnswer& answer, Code code);
  // The client has gone.
  void on_cancelled() override;

  const ApiContext& context_;
  net::Exchange& exchange_;
  const Dialect& dialect_;
  const Method* const method_;
  RawRequest request_;
  RawAnswer refusal_;  // without a method
  bool is_over_ = false;

 private:
  // Views into `answer`.
  net::AnswerHead make_head(RawAnswer& answer) const;

  const std::string request_id_;
  const Instant started_;
  net::TimerId deadline_timer_ = 0;
};

// A call with one message each way.
std::unique_ptr<net::ExchangeHandler> make_unary_exchange(CallExchange::Parts parts,
                                                          const net::BodyFraming& body);
// Any other. Null if the call was over at once.
std::unique_ptr<net::ExchangeHandler> make_stream_exchange(CallExchange::Parts parts);

}  // namespace staithe::wire
