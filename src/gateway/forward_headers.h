#pragma once

#include <cstdint>
#include <string>
#include <string_view>

#include "net/http_message.h"

namespace staithe::gateway {

// Header fields that outlive the buffer they were read from, in one allocation.
class StoredHeaders {
 public:
  void add(std::string_view name, std::string_view value);
  // Views into this object.
  void append_to(net::HeaderList& list) const;

 private:
  std::string bytes_;  // for each field both lengths, then both texts
};

struct ForwardedFor {
  std::string_view key;  // the caller's credential, which no engine may see; or empty
  std::string_view request_id;
  std::string_view peer_address;
  std::string_view traceparent;     // of our span; empty: what the client sent passes as it is
  bool is_trace_continued = false;  // our span is part of the client's trace
  bool is_secure = false;           // the caller came over TLS
};

// The fields of a client's request that an engine gets: without hop-by-hop fields, credentials,
// cookies and fields that only mean something to us; with the request's id, the caller's address
// and the scheme it used. What a proxy in front of us says of the scheme counts if it came to us in
// cleartext.
StoredHeaders headers_for_engine(const net::RequestHead& head, const ForwardedFor& caller);

// `target` without the query parameters whose value is the caller's credential.
std::string without_key(std::string target, std::string_view key);

// The request's own id if it has a sane one.
std::string_view given_request_id(const net::RequestHead& head);

// The fields of an engine's answer that the client gets. Views into `head`.
enum class AnswerKind : std::uint8_t {
  plain,
  event_stream,
  error_text,  // becomes JSON of ours
};
// What an engine says of CORS counts unless the gateway says it: browsers take a field given twice
// for a refusal.
enum class EngineCors : std::uint8_t { passes, is_removed };
void add_headers_for_client(const net::ResponseHead& head, AnswerKind kind, EngineCors cors,
                            net::HeaderList& list);

bool is_event_stream(const net::ResponseHead& head);
// An error in words alone, which clients of the API cannot read: they look for JSON.
bool is_error_text(const net::ResponseHead& head);

}  // namespace staithe::gateway
