// What the caller hears: a deep queue of reply audio that can be emptied at once and says exactly
// how much of it was sent.
//
// One writer (the API, calls serialised by the bus) and one player (the clock thread); no locks.
// Samples have absolute positions. `cursor_` is the position of the next sample to send, together
// with an epoch that clear() advances. The player copies samples out and then moves the cursor
// with compare-and-swap: that swap is the moment at which they count as sent. clear() moves the
// same word to the end of the queue, so every sample is either sent or discarded, never both; a
// player that was copying meanwhile fails its swap and finds an empty queue.
#pragma once

#include <algorithm>
#include <atomic>
#include <cstdint>
#include <cstring>
#include <deque>
#include <memory>
#include <utility>
#include <vector>

#include "spsc_ring.hpp"

namespace framebus {

enum class Cue : std::uint8_t { begin, mark, finish, clear };

// Something that happens when the cursor reaches `at`.
struct CueRecord {
  std::uint64_t at;
  std::int64_t reply;
  std::int64_t value;  // mark: its number; finish: samples in the reply
  std::uint16_t epoch;
  Cue kind;
};

struct Heard {
  std::int64_t reply;
  std::int64_t samples;
};

struct Cleared {
  Heard heard;
  std::vector<std::pair<std::int64_t, std::int64_t>> marks;  // (reply, mark) that will not sound
};

class PlayoutQueue {
 public:
  static constexpr unsigned kBlock = 4096;  // samples per storage block
  static constexpr std::size_t kCues = 512;
  static constexpr std::size_t kSpareBlocks = 2;

  explicit PlayoutQueue(std::uint64_t max_samples)
      : max_samples_(max_samples), blocks_(max_samples / kBlock + 2), cues_(kCues) {}

  // --- writer ---------------------------------------------------------------------------------

  // Appends audio of one reply; returns how many samples found room. A number lower than the
  // newest, or one that was finished or cleared, is stale: nothing is taken.
  std::uint64_t write(const std::int16_t* pcm, std::uint64_t samples, std::int64_t reply) {
    if (reply <= barred_ || reply < newest_ || (reply == newest_ && !open_)) {
      ++stale_;
      return 0;
    }
    reclaim();
    const auto end = written_.load(std::memory_order_relaxed);
    samples = std::min(samples, room(end));
    if (samples == 0) return 0;
    if (reply != newest_ || !open_) {
      if (cues_.size() > kCues / 2) return 0;
      if (open_) finish();
      begin(reply, end);
    }
    store(end, pcm, samples);
    written_.store(end + samples, std::memory_order_release);
    return samples;
  }

  // False when too many marks are pending already.
  bool mark(std::int64_t mark) {
    if (cues_.size() > kCues / 2) return false;
    const auto at = written_.load(std::memory_order_relaxed);
    forget_passed();
    marks_.push_back({at, newest_ == kNone ? 0 : newest_, mark});
    cue({at, marks_.back().reply, mark, epoch_, Cue::mark});
    return true;
  }

  // True when there is an unfinished reply, whose end will be reported.
  bool finish() {
    if (!open_) return false;
    open_ = false;
    const auto at = written_.load(std::memory_order_relaxed);
    cue({at, newest_, static_cast<std::int64_t>(at - replies_.back().start), epoch_, Cue::finish});
    return true;
  }

  // Discards everything not yet sent and bars the newest reply (and all up to `through`) for good.
  Cleared clear(std::int64_t through) {
    const auto end = written_.load(std::memory_order_relaxed);
    barred_ = std::max({barred_, newest_, through});
    auto cursor = cursor_.load(std::memory_order_acquire);
    forget_passed();
    if (position_of(cursor) == end && !open_ && marks_.empty()) return {heard(), {}};
    const auto next = static_cast<std::uint16_t>(epoch_ + 1);
    while (!cursor_.compare_exchange_weak(cursor, pack(next, end), std::memory_order_seq_cst)) {
    }
    const auto sent = position_of(cursor);
    Cleared result{heard_at(sent), {}};
    for (const auto& mark : marks_)
      if (mark.at > sent) result.marks.emplace_back(mark.reply, mark.mark);
    marks_.clear();
    last_heard_ = result.heard;
    replies_.clear();
    open_ = false;
    epoch_ = next;
    cue({end, 0, 0, next, Cue::clear});
    reclaim();
    return result;
  }

  // The reply that sounds now (or sounded last) and how many of its samples were sent.
  Heard heard() const { return heard_at(sent_position()); }

  std::uint64_t queued() const {
    const auto sent = sent_position();
    return written_.load(std::memory_order_relaxed) - sent;
  }

  std::uint64_t stale() const noexcept { return stale_; }

  // --- player ---------------------------------------------------------------------------------

  // Copies out at most `samples` and counts them as sent; returns how many there were.
  unsigned play(std::int16_t* out, unsigned samples) noexcept {
    for (;;) {
      auto cursor = cursor_.load(std::memory_order_acquire);
      const auto from = position_of(cursor);
      // Announce what we are about to read before reading it; if the cursor has not moved since,
      // the writer cannot have taken these blocks away and will not until we say so.
      reading_.store(from, std::memory_order_seq_cst);
      if (cursor_.load(std::memory_order_seq_cst) != cursor) continue;
      const auto end = written_.load(std::memory_order_acquire);
      const auto take = static_cast<unsigned>(std::min<std::uint64_t>(samples, end - from));
      load(from, out, take);
      reading_.store(kNowhere, std::memory_order_release);
      if (take == 0 ||
          cursor_.compare_exchange_strong(cursor, cursor + take, std::memory_order_seq_cst)) {
        reached_ = cursor + take;
        short_ = take < samples;
        if (!short_) dry_ = false;
        return take;
      }
    }
  }

  // Reports what the last play() passed: sink(kind, reply, value), once it has left. `underrun` is
  // called when the queue ran dry within a reply, once per gap.
  template <class Sink, class Underrun>
  void settle(Sink&& sink, Underrun&& underrun) {
    while (const CueRecord* cue = cues_.front()) {
      const bool live = settled_epoch_ == epoch_of(reached_);
      if (cue->kind == Cue::clear) {
        if (live) break;  // cleared after the last play(); its turn comes with the next
        settled_epoch_ = cue->epoch;
        settled_ = cue->at;
        sounding_ = false;
      } else {
        const auto limit = live ? position_of(reached_) : settled_;
        const bool passed = cue->kind == Cue::begin ? cue->at < limit : cue->at <= limit;
        if (passed)
          pass(*cue, sink);
        else if (live)
          break;
        // else: a clear() came first, and it reported what was pending
      }
      cues_.pop();
    }
    if (settled_epoch_ != epoch_of(reached_)) return;
    settled_ = position_of(reached_);
    if (short_ && sounding_ && !dry_) {
      dry_ = true;
      underrun(sounding_reply_, static_cast<std::int64_t>(settled_ - sounding_start_));
    }
  }

 private:
  struct Reply {
    std::int64_t number;
    std::uint64_t start;
  };
  struct Mark {
    std::uint64_t at;
    std::int64_t reply;
    std::int64_t mark;
  };

  static constexpr std::int64_t kNone = INT64_MIN;
  static constexpr std::uint64_t kNowhere = UINT64_MAX;
  static constexpr int kEpochShift = 48;

  static std::uint64_t pack(std::uint16_t epoch, std::uint64_t position) noexcept {
    return (static_cast<std::uint64_t>(epoch) << kEpochShift) | position;
  }
  static std::uint64_t position_of(std::uint64_t cursor) noexcept {
    return cursor & ((std::uint64_t{1} << kEpochShift) - 1);
  }
  static std::uint16_t epoch_of(std::uint64_t cursor) noexcept {
    return static_cast<std::uint16_t>(cursor >> kEpochShift);
  }

  std::uint64_t sent_position() const noexcept {
    return position_of(cursor_.load(std::memory_order_acquire));
  }

  // Bounded by the promised depth, and by storage that a player in mid-copy may still hold.
  std::uint64_t room(std::uint64_t end) const noexcept {
    const auto queued = end - sent_position();
    const auto held = end - reclaimed_;
    const auto storage = std::uint64_t{blocks_.size()} * kBlock;
    return std::min(max_samples_ - std::min(max_samples_, queued), storage - std::min(storage, held));
  }

  void begin(std::int64_t reply, std::uint64_t at) {
    newest_ = reply;
    open_ = true;
    const auto sent = sent_position();
    while (replies_.size() > 1 && replies_[1].start <= sent) replies_.pop_front();
    replies_.push_back({reply, at});
    cue({at, reply, 0, epoch_, Cue::begin});
  }

  Heard heard_at(std::uint64_t sent) const {
    const Reply* sounding = replies_.empty() ? nullptr : &replies_.front();
    for (const auto& reply : replies_)
      if (reply.start <= sent) sounding = &reply;
    if (!sounding) return last_heard_;
    std::uint64_t end = sent;
    if (sounding->start > sent) end = sounding->start;
    return {sounding->number, static_cast<std::int64_t>(end - sounding->start)};
  }

  void forget_passed() {
    const auto sent = sent_position();
    while (!marks_.empty() && marks_.front().at <= sent) marks_.pop_front();
  }

  // Ordinary cues stop at half the ring and each clear() follows at least one of them, so the
  // other half always has room for the clears.
  void cue(const CueRecord& record) {
    if (CueRecord* cell = cues_.claim()) {
      *cell = record;
      cues_.publish();
    }
  }

  template <class Sink>
  void pass(const CueRecord& cue, Sink& sink) {
    if (cue.kind == Cue::begin) {
      sounding_ = true;
      sounding_reply_ = cue.reply;
      sounding_start_ = cue.at;
      dry_ = false;
    } else if (cue.kind == Cue::finish) {
      sounding_ = false;
    }
    sink(cue.kind, cue.reply, cue.value);
  }

  // --- storage: a ring of block pointers, filled and emptied by the writer only ----------------

  std::unique_ptr<std::int16_t[]>& block(std::uint64_t position) noexcept {
    return blocks_[position / kBlock % blocks_.size()];
  }

  void store(std::uint64_t at, const std::int16_t* pcm, std::uint64_t samples) {
    while (samples > 0) {
      const auto offset = at % kBlock;
      const auto take = std::min<std::uint64_t>(samples, kBlock - offset);
      auto& storage = block(at);
      if (!storage) storage = new_block();
      std::memcpy(storage.get() + offset, pcm, take * sizeof *pcm);
      at += take;
      pcm += take;
      samples -= take;
    }
  }

  void load(std::uint64_t from, std::int16_t* out, std::uint64_t samples) noexcept {
    while (samples > 0) {
      const auto offset = from % kBlock;
      const auto take = std::min<std::uint64_t>(samples, kBlock - offset);
      std::memcpy(out, block(from).get() + offset, take * sizeof *out);
      from += take;
      out += take;
      samples -= take;
    }
  }

  std::unique_ptr<std::int16_t[]> new_block() {
    if (spare_.empty()) return std::make_unique_for_overwrite<std::int16_t[]>(kBlock);
    auto storage = std::move(spare_.back());
    spare_.pop_back();
    return storage;
  }

  // Takes back the blocks that lie wholly behind both the cursor and whatever the player reads.
  void reclaim() {
    const auto cursor = position_of(cursor_.load(std::memory_order_seq_cst));
    const auto limit = std::min(cursor, reading_.load(std::memory_order_seq_cst));
    for (; reclaimed_ + kBlock <= limit; reclaimed_ += kBlock) {
      auto& storage = block(reclaimed_);
      if (storage && spare_.size() < kSpareBlocks) spare_.push_back(std::move(storage));
      storage.reset();
    }
  }

  const std::uint64_t max_samples_;
  std::vector<std::unique_ptr<std::int16_t[]>> blocks_;
  SpscRing<CueRecord> cues_;

  alignas(64) std::atomic<std::uint64_t> cursor_{0};
  alignas(64) std::atomic<std::uint64_t> written_{0};
  alignas(64) std::atomic<std::uint64_t> reading_{kNowhere};

  // Writer's own.
  std::uint64_t reclaimed_ = 0;
  std::vector<std::unique_ptr<std::int16_t[]>> spare_;
  std::deque<Reply> replies_;
  std::deque<Mark> marks_;
  std::int64_t newest_ = kNone;
  std::int64_t barred_ = kNone;
  Heard last_heard_{0, 0};
  std::uint64_t stale_ = 0;
  std::uint16_t epoch_ = 0;
  bool open_ = false;

  // Player's own.
  std::uint64_t reached_ = 0;   // the cursor as the last play() left it
  std::uint64_t settled_ = 0;   // position up to which cues of `settled_epoch_` were reported
  std::uint64_t sounding_start_ = 0;
  std::int64_t sounding_reply_ = 0;
  std::uint16_t settled_epoch_ = 0;
  bool sounding_ = false;
  bool short_ = false;
  bool dry_ = false;
};

}  // namespace framebus
