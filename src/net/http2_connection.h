#pragma once

#include <nghttp2/nghttp2.h>

#include <cstdint>
#include <memory>
#include <string>
#include <string_view>
#include <unordered_map>
#include <vector>

#include "net/deadline.h"
#include "net/exchange.h"
#include "net/exchange_slot.h"
#include "net/flood_guard.h"
#include "net/pace_watch.h"
#include "net/server_connection.h"
#include "net/skipped_streams.h"
#include "net/transport.h"

namespace staithe::net {

// The server's side of one HTTP/2 connection (RFC 9113): nghttp2 reads and writes the frames and
// never sees the socket, a Stream is the exchange on it.
//
// What a turn sends is gathered: streams only mark what they have, and at the end of the turn
// frames are made of it until the transport is congested. A stream's body is taken by the client's
// window for that stream; what the window does not take is kept, and counts for the stream's
// congestion. The windows we give bound what a paused handler keeps unread: connection credit comes
// back as bytes arrive, stream credit as the handler takes them.
//
// Streams that only the client can end are watched by a coarse sweep, like the deadlines of
// HTTP/1.1: a body that hardly arrives, an answer that is hardly read. A client that makes us work
// for nothing (resets, its own and those it provokes, pings, settings, empty frames) is told
// ENHANCE_YOUR_CALM and closed. What a client may send of these grows with the requests it makes
// and the bytes it is sent: some measure the path with a PING for each answer, some return credit
// every few kilobytes.
//
// After a GOAWAY that names an error the connection lingers like one of HTTP/1.1, so that the
// client gets to read it.
class Http2Connection final : public ServerConnection, private TransportHandler {
 public:
  Http2Connection(ServerConnectionOwner& owner, std::unique_ptr<Transport> transport,
                  std::string peer_address);
  ~Http2Connection() override;
  // What was read before it was known to be HTTP/2, with the preface. Once, and after the owner has
  // this object.
  void take_first_bytes(std::string_view bytes) { on_bytes(bytes); }

  // ServerConnection
  void drain() override;
  void close() override;

 private:
  class Stream;
  friend struct Http2Callbacks;

  // The head that is being read; on a connection there is one at a time.
  struct HeadSpace {
    struct Field {
      std::size_t begin = 0;
      std::size_t name_size = 0;
      std::size_t value_size = 0;
    };
    std::string bytes;
    std::vector<Field> fields;
    bool is_begun = false;
    bool is_too_large = false;
  };

  // TransportHandler
  void on_bytes(std::string_view bytes) override;
  void on_read_end() override { close(); }
  void on_broken(int) override { close(); }
  void on_hang_up() override { close(); }
  void on_flushed() override;
  void on_writable() override;

  // Told by nghttp2; an int is its error code.
  int take_header(std::string_view name, std::string_view value);
  void take_frame(const nghttp2_frame& frame);
  void take_data(std::int32_t stream_id, std::string_view bytes);
  void take_stream_close(std::int32_t stream_id);
  ssize_t offer_data(Stream& stream, std::size_t size_max, std::uint32_t& flags);
  int send_data(Stream& stream, const std::uint8_t* frame_head, std::size_t size);
  void on_answer_sent(std::int32_t stream_id);
  void on_invalid_frame();
  void on_own_reset(std::uint32_t error_code);

  void open_exchange(std::int32_t stream_id, bool is_request_whole);
  void refuse(std::int32_t stream_id, std::uint16_t status, std::string_view reason);
  Stream& open_stream(std::int32_t stream_id);
  Stream* find(std::int32_t stream_id);
  bool is_flood(const nghttp2_frame& frame);
  void calm_down();
  void start_linger();

  void schedule_pump();
  void pump();
  void settle();
  void schedule_sweep();
  void sweep();
  EventLoop& loop() { return owner_.loop(); }

  ServerConnectionOwner& owner_;
  const std::unique_ptr<Transport> transport_;
  Deadline deadline_;
  std::string peer_address_;
  nghttp2_session* session_ = nullptr;
  std::unordered_map<std::int32_t, std::unique_ptr<Stream>> streams_;
  std::vector<std::int32_t> writable_;  // whose handlers wait to be told
  std::size_t unsent_bytes_ = 0;        // of all streams
  std::size_t linger_bytes_ = 0;        // read for nothing
  HeadSpace head_;
  SkippedStreams skipped_streams_;
  // As many resets at once as a client may have streams: more in one read is more work for
  // nothing than as many honest requests are. A new connection is cheap, so these are small.
  FloodGuard resets_{256, 33};
  FloodGuard control_frames_{500, 100};
  Instant idle_since_{};
  Instant head_begun_at_{};
  Instant sweep_due_ = Deadline::never;
  TurnWorkId pump_work_ = 0;
  bool is_draining_ = false;
  bool is_failing_ = false;         // a GOAWAY with an error is on its way
  bool is_client_leaving_ = false;  // it has sent GOAWAY
  bool is_lingering_ = false;       // it is sent, and so is our end
  bool is_closed_ = false;
};

}  // namespace staithe::net
