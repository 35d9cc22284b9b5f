#include "engine.h"

#include <algorithm>

namespace staithe::bench {
namespace {

constexpr double never = std::numeric_limits<double>::infinity();

std::uint32_t blocks_for(std::uint64_t tokens) {
  return static_cast<std::uint32_t>((tokens + block_tokens - 1) / block_tokens);
}

}  // namespace

Engine::Engine(const EngineModel& model, std::uint32_t block_count)
    : model_(model), blocks_(block_count) {}

void Engine::submit(Job& job, double now_s) {
  waiting_.push_back(&job);
  if (step_end_s_ == never) begin_step(now_s);
}

void Engine::begin_step(double now_s) {
  const auto answer_count = static_cast<std::uint32_t>(answering_.size());
  std::uint32_t budget =
      model_.step_tokens_max - std::min(answer_count, model_.step_tokens_max - 1);
  std::uint32_t read_tokens = 0;
  while (budget > 0 && (!reading_.empty() || try_admit())) {
    Job& job = *reading_.front();
    const std::uint32_t taken = std::min(budget, job.unread_tokens);
    job.unread_tokens -= taken;
    budget -= taken;
    read_tokens += taken;
    if (job.unread_tokens > 0) break;
    read_.push_back(&job);
    reading_.pop_front();
  }
  const bool is_at_rest = answer_count == 0 && read_tokens == 0;
  step_end_s_ = is_at_rest ? never
                           : now_s + model_.step_s + answer_count * model_.answer_s +
                                 read_tokens * model_.prompt_token_s;
}

void Engine::end_step(Progress& progress) {
  const double now_s = step_end_s_;
  ++step_;
  while (!answering_.empty() && answering_.top()->last_step == step_) {
    Job& job = *answering_.top();
    answering_.pop();
    job.end_s = now_s;
    release(job);
    progress.ended.push_back(&job);
  }
  for (Job* job : read_) {
    publish_prompt(*job);
    job->first_token_s = now_s;
    progress.first_tokens.push_back(job);
    job->last_step = step_ + job->request->output_tokens - 1;
    if (job->last_step > step_) {
      answering_.push(job);
      continue;
    }
    job->end_s = now_s;
    release(*job);
    progress.ended.push_back(job);
  }
  read_.clear();
  begin_step(now_s);
}

// Moves the next that waits among those whose prompts are read, if there is memory for it.
bool Engine::try_admit() {
  if (waiting_.empty() || running_count_ >= model_.requests_max) return false;
  Job& job = *waiting_.front();
  const Request& request = *job.request;
  std::uint32_t matched = 0;
  while (matched < request.blocks.size() && blocks_[request.blocks[matched]].is_present) {
    use(request.blocks[matched++]);
  }
  const std::uint32_t wanted =
      blocks_for(std::uint64_t{request.input_tokens} + request.output_tokens) - matched;
  if (used_blocks_ + wanted > model_.kv_blocks && running_count_ > 0) {
    while (matched > 0) let_go(request.blocks[--matched]);
    return false;
  }
  used_blocks_ += wanted;
  while (used_blocks_ + kept_count_ > model_.kv_blocks && kept_count_ > 0) evict_oldest();

  job.private_blocks = wanted;
  job.held_blocks.assign(request.blocks.begin(), request.blocks.begin() + matched);
  // The last token is always computed: it is what the first one of the answer comes from.
  job.cached_tokens = std::min(matched * block_tokens, request.input_tokens - 1);
  job.unread_tokens = request.input_tokens - job.cached_tokens;
  waiting_.pop_front();
  reading_.push_back(&job);
  ++running_count_;
  return true;
}

// The blocks of a prompt that has been read are there for others from now on.
void Engine::publish_prompt(Job& job) {
  const auto& ids = job.request->blocks;
  for (std::size_t i = job.held_blocks.size(); i < ids.size(); ++i) {
    Block& block = blocks_[ids[i]];
    if (block.is_present) return;  // another was quicker; ours stay private
    block.is_present = true;
    block.user_count = 1;
    --job.private_blocks;
    job.held_blocks.push_back(ids[i]);
  }
}

void Engine::release(Job& job) {
  used_blocks_ -= job.private_blocks;
  for (std::size_t i = job.held_blocks.size(); i-- > 0;) let_go(job.held_blocks[i]);
  job.held_blocks = {};
  --running_count_;
}

void Engine::use(std::uint32_t id) {
  if (blocks_[id].user_count++ > 0) return;
  unlink(id);
  ++used_blocks_;
}

void Engine::let_go(std::uint32_t id) {
  Block& block = blocks_[id];
  if (--block.user_count > 0) return;
  --used_blocks_;
  ++kept_count_;
  block.older = newest_;
  block.newer = none;
  (newest_ == none ? oldest_ : blocks_[newest_].newer) = id;
  newest_ = id;
}

void Engine::unlink(std::uint32_t id) {
  Block& block = blocks_[id];
  (block.older == none ? oldest_ : blocks_[block.older].newer) = block.newer;
  (block.newer == none ? newest_ : blocks_[block.newer].older) = block.older;
  --kept_count_;
}

void Engine::evict_oldest() {
  const std::uint32_t id = oldest_;
  unlink(id);
  blocks_[id].is_present = false;
}

}  // namespace staithe::bench
