#pragma once

#include <chrono>
#include <cstdint>
#include <string>
#include <string_view>
#include <vector>

#include "base/clock.h"
#include "gw/stream_text.h"

namespace staithe::bench {

// Looks at an answer's body as it comes.
class AnswerCheck {
 public:
  virtual ~AnswerCheck() = default;
  virtual void take(std::string_view bytes, Instant now) = 0;
  virtual bool is_whole() const = 0;  // at the answer's end: all of it came, and nothing else
};

// A stream, byte by byte. Adds how long each chunk was under way to `delays_us`.
class ExactStream final : public AnswerCheck {
 public:
  ExactStream(std::uint64_t chunk_count, std::vector<std::int64_t>& delays_us)
      : chunks_left_(chunk_count), delays_us_(delays_us) {}

  void take(std::string_view bytes, Instant now) override {
    while (!bytes.empty() && !is_bad_) {
      const std::size_t size = chunks_left_ > 0 ? chunk_size : stream_end_size;
      if (part_.empty() && bytes.size() >= size) {
        take_piece(bytes.substr(0, size), now);
        bytes.remove_prefix(size);
        continue;
      }
      const std::string_view more = bytes.substr(0, size - part_.size());
      part_ += more;
      bytes.remove_prefix(more.size());
      if (part_.size() < size) return;
      take_piece(part_, now);
      part_.clear();
    }
  }

  bool is_whole() const override { return has_ended_ && !is_bad_ && part_.empty(); }

 private:
  void take_piece(std::string_view piece, Instant now) {
    if (has_ended_) {
      is_bad_ = true;
    } else if (chunks_left_ > 0) {
      take_chunk(piece, now);
    } else {
      has_ended_ = true;
      is_bad_ = piece != numbered_event(usage_head, checksum_.value()).append(done_event);
    }
  }

  void take_chunk(std::string_view piece, Instant now) {
    --chunks_left_;
    const std::uint64_t sent_ns = number_of(piece.substr(chunk_head.size(), digit_count));
    is_bad_ = !piece.starts_with(chunk_head) || !piece.ends_with(event_tail);
    checksum_.add(sent_ns);
    const auto now_ns = std::chrono::nanoseconds(now.time_since_epoch()).count();
    delays_us_.push_back((now_ns - static_cast<std::int64_t>(sent_ns)) / 1000);
  }

  std::uint64_t chunks_left_;
  std::vector<std::int64_t>& delays_us_;
  std::string part_;
  Checksum checksum_;
  bool has_ended_ = false;
  bool is_bad_ = false;
};

class ExactText final : public AnswerCheck {
 public:
  void take(std::string_view bytes, Instant /*now*/) override { text_ += bytes; }
  bool is_whole() const override { return text_ == unary_text; }

 private:
  std::string text_;
};

// For peers that read an answer and write another: only that its content is there as often as it
// should be.
class RewrittenAnswer final : public AnswerCheck {
 public:
  RewrittenAnswer(std::string_view content, std::uint64_t count)
      : content_(content), left_(count) {}

  void take(std::string_view bytes, Instant /*now*/) override {
    rest_ += bytes;
    std::size_t at = 0;
    for (std::size_t found; (found = rest_.find(content_, at)) != std::string::npos;
         at = found + content_.size())
      --left_;
    rest_.erase(0, std::max(at, rest_.size() - std::min(rest_.size(), content_.size() - 1)));
  }
  bool is_whole() const override { return left_ == 0; }

 private:
  std::string_view content_;
  std::uint64_t left_;
  std::string rest_;  // may hold the beginning of a content
};

}  // namespace staithe::bench
