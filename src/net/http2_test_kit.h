#pragma once

#include <nghttp2/nghttp2.h>

#include <cstdint>
#include <map>
#include <optional>
#include <string>
#include <string_view>
#include <utility>
#include <vector>

#include "base/check.h"
#include "net/loopback_test_kit.h"

namespace staithe::net::testing {

using Fields = std::vector<std::pair<std::string, std::string>>;

// A client of HTTP/2 for tests: nghttp2's client side over a RawPeer or what has its calls, turned
// by hand.
template <typename Peer>
class BasicHttp2Peer {
 public:
  struct Answer {
    Fields head;
    std::string body;
    Fields trailers;
    bool is_ended = false;
    bool is_head_all = false;            // the head itself ended the stream
    std::optional<std::uint32_t> reset;  // with this error code
    std::string field(std::string_view name) const {
      for (const auto& [key, value] : head) {
        if (key == name) return value;
      }
      return "";
    }
    std::string status() const { return field(":status"); }
  };

  explicit BasicHttp2Peer(Peer connected, bool reads_bodies = true) : peer_(std::move(connected)) {
    nghttp2_session_callbacks* callbacks = nullptr;
    CHECK(nghttp2_session_callbacks_new(&callbacks) == 0);
    nghttp2_session_callbacks_set_on_header_callback(
        callbacks, [](nghttp2_session*, const nghttp2_frame* frame, const std::uint8_t* name,
                      std::size_t name_size, const std::uint8_t* value, std::size_t value_size,
                      std::uint8_t, void* self) {
          Answer& answer = static_cast<BasicHttp2Peer*>(self)->answers_[frame->hd.stream_id];
          // What follows "100 Continue" is not a trailer.
          const bool is_head =
              frame->headers.cat == NGHTTP2_HCAT_RESPONSE || answer.status().starts_with('1');
          Fields& fields = is_head ? answer.head : answer.trailers;
          fields.emplace_back(as_text(name, name_size), as_text(value, value_size));
          return 0;
        });
    nghttp2_session_callbacks_set_on_data_chunk_recv_callback(
        callbacks, [](nghttp2_session*, std::uint8_t, std::int32_t id, const std::uint8_t* data,
                      std::size_t size, void* self) {
          static_cast<BasicHttp2Peer*>(self)->answers_[id].body += as_text(data, size);
          return 0;
        });
    nghttp2_session_callbacks_set_on_frame_recv_callback(
        callbacks, [](nghttp2_session*, const nghttp2_frame* frame, void* self) {
          auto& peer = *static_cast<BasicHttp2Peer*>(self);
          const bool is_end = (frame->hd.flags & NGHTTP2_FLAG_END_STREAM) != 0;
          const bool may_end = frame->hd.type == NGHTTP2_DATA || frame->hd.type == NGHTTP2_HEADERS;
          if (is_end && may_end) peer.answers_[frame->hd.stream_id].is_ended = true;
          if (is_end && frame->hd.type == NGHTTP2_HEADERS &&
              frame->headers.cat == NGHTTP2_HCAT_RESPONSE) {
            peer.answers_[frame->hd.stream_id].is_head_all = true;
          }
          if (frame->hd.type == NGHTTP2_RST_STREAM)
            peer.answers_[frame->hd.stream_id].reset = frame->rst_stream.error_code;
          if (frame->hd.type == NGHTTP2_GOAWAY) peer.goaway_ = frame->goaway.error_code;
          return 0;
        });
    nghttp2_option* options = nullptr;
    CHECK(nghttp2_option_new(&options) == 0);
    nghttp2_option_set_no_auto_window_update(options, reads_bodies ? 0 : 1);
    CHECK(nghttp2_session_client_new2(&session_, callbacks, this, options) == 0);
    nghttp2_option_del(options);
    nghttp2_session_callbacks_del(callbacks);
    CHECK(nghttp2_submit_settings(session_, NGHTTP2_FLAG_NONE, nullptr, 0) == 0);
  }
  ~BasicHttp2Peer() { nghttp2_session_del(session_); }
  BasicHttp2Peer(const BasicHttp2Peer&) = delete;
  BasicHttp2Peer& operator=(const BasicHttp2Peer&) = delete;

  // Starts a request. With a body it is sent as far as the windows let it; without `is_whole` more
  // may follow with send_more().
  std::int32_t request(std::string_view method, std::string_view path, std::string body = {},
                       const Fields& more = {}, bool is_whole = true) {
    Fields fields{{":method", std::string(method)},
                  {":scheme", "http"},
                  {":authority", "h2.test"},
                  {":path", std::string(path)}};
    fields.insert(fields.end(), more.begin(), more.end());
    return request_with(std::move(fields), std::move(body), is_whole);
  }
  // The head is exactly `fields`, whether or not they make one.
  std::int32_t request_with(Fields fields, std::string body = {}, bool is_whole = true) {
    std::vector<nghttp2_nv> list;
    for (auto& [name, value] : fields) {
      list.push_back({reinterpret_cast<std::uint8_t*>(name.data()),
                      reinterpret_cast<std::uint8_t*>(value.data()), name.size(), value.size(),
                      NGHTTP2_NV_FLAG_NONE});
    }
    auto& upload = *uploads_.emplace_back(std::make_unique<Upload>());
    upload.left = std::move(body);
    upload.is_whole = is_whole;
    nghttp2_data_provider provider{};
    provider.source.ptr = &upload;
    provider.read_callback = [](nghttp2_session*, std::int32_t, std::uint8_t* buffer,
                                std::size_t size, std::uint32_t* flags, nghttp2_data_source* source,
                                void*) -> ssize_t {
      auto& from = *static_cast<Upload*>(source->ptr);
      const std::size_t taken = from.left.copy(reinterpret_cast<char*>(buffer), size);
      from.left.erase(0, taken);
      if (from.left.empty() && from.is_whole) *flags |= NGHTTP2_DATA_FLAG_EOF;
      if (taken == 0 && !from.is_whole) return NGHTTP2_ERR_DEFERRED;
      return static_cast<ssize_t>(taken);
    };
    const bool has_body = !upload.left.empty() || !is_whole;
    const std::int32_t id = nghttp2_submit_request(session_, nullptr, list.data(), list.size(),
                                                   has_body ? &provider : nullptr, nullptr);
    CHECK(id > 0);
    by_stream_[id] = &upload;
    return id;
  }
  void send_more(std::int32_t id, std::string_view bytes, bool is_whole) {
    by_stream_.at(id)->left += bytes;
    by_stream_.at(id)->is_whole = is_whole;
    nghttp2_session_resume_data(session_, id);
  }
  std::size_t unsent_bytes(std::int32_t id) const { return by_stream_.at(id)->left.size(); }
  void reset(std::int32_t id) {
    nghttp2_submit_rst_stream(session_, NGHTTP2_FLAG_NONE, id, NGHTTP2_CANCEL);
  }
  // Gives the credit for what was received, of a peer that does not by itself.
  void consume(std::int32_t id, std::size_t size) { nghttp2_session_consume(session_, id, size); }
  nghttp2_session* session() { return session_; }
  Peer& raw() { return peer_; }

  // Sends and reads what it can.
  void poll() {
    while (true) {
      const std::uint8_t* bytes = nullptr;
      const ssize_t size = nghttp2_session_mem_send(session_, &bytes);
      if (size <= 0) break;
      outgoing_ += as_text(bytes, static_cast<std::size_t>(size));
    }
    if (!peer_.is_gone()) outgoing_.erase(0, peer_.send_some(outgoing_));
    const std::string received = peer_.received();
    peer_.forget_received();
    CHECK(nghttp2_session_mem_recv(session_, reinterpret_cast<const std::uint8_t*>(received.data()),
                                   received.size()) >= 0);
  }
  template <typename IsDone>
  bool poll_until(EventLoop& loop, IsDone is_done, int turns_max = 2'000) {
    return run_until(
        loop,
        [&] {
          poll();
          return is_done();
        },
        turns_max);
  }
  const Answer& answer(std::int32_t id) { return answers_[id]; }
  // The whole answer, or what there is when the stream or the connection ends otherwise.
  const Answer& wait(EventLoop& loop, std::int32_t id) {
    CHECK(poll_until(loop, [&] {
      const Answer& so_far = answers_[id];
      return so_far.is_ended || so_far.reset || peer_.is_gone();
    }));
    return answers_[id];
  }
  std::optional<std::uint32_t> goaway() const { return goaway_; }

 private:
  struct Upload {
    std::string left;
    bool is_whole = true;
  };
  static std::string as_text(const std::uint8_t* data, std::size_t size) {
    return {reinterpret_cast<const char*>(data), size};
  }

  Peer peer_;
  nghttp2_session* session_ = nullptr;
  std::map<std::int32_t, Answer> answers_;
  std::map<std::int32_t, Upload*> by_stream_;
  std::vector<std::unique_ptr<Upload>> uploads_;
  std::string outgoing_;
  std::optional<std::uint32_t> goaway_;
};

class Http2Peer : public BasicHttp2Peer<RawPeer> {
 public:
  explicit Http2Peer(std::uint16_t port, bool reads_bodies = true)
      : BasicHttp2Peer(RawPeer::connect(port), reads_bodies) {}
};

}  // namespace staithe::net::testing
