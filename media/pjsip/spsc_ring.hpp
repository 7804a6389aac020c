// A bounded single-producer, single-consumer ring whose cells are filled and read in place.
#pragma once

#include <atomic>
#include <cstddef>
#include <memory>

namespace framebus {

template <class T>
class SpscRing {
 public:
  explicit SpscRing(std::size_t capacity) : capacity_(capacity), cells_(new T[capacity]) {}

  std::size_t capacity() const noexcept { return capacity_; }

  std::size_t size() const noexcept {
    // The reader's index first: the difference may then come out too large, never negative.
    const auto read = read_.load(std::memory_order_acquire);
    return write_.load(std::memory_order_acquire) - read;
  }

  // Producer: the next free cell, or nullptr while the ring is full. It stays ours until publish().
  T* claim() noexcept {
    const auto write = write_.load(std::memory_order_relaxed);
    if (write - read_.load(std::memory_order_acquire) >= capacity_) return nullptr;
    return &cells_[write % capacity_];
  }

  // Producer: hands the claimed cell over; the release makes its contents visible with it.
  void publish() noexcept {
    write_.store(write_.load(std::memory_order_relaxed) + 1, std::memory_order_release);
  }

  // Consumer: the oldest cell, or nullptr while the ring is empty. It stays ours until pop().
  T* front() noexcept {
    const auto read = read_.load(std::memory_order_relaxed);
    if (read == write_.load(std::memory_order_acquire)) return nullptr;
    return &cells_[read % capacity_];
  }

  void pop() noexcept {
    read_.store(read_.load(std::memory_order_relaxed) + 1, std::memory_order_release);
  }

 private:
  const std::size_t capacity_;
  const std::unique_ptr<T[]> cells_;
  // Each index on its own cache line: the two threads must not fight over one.
  alignas(64) std::atomic<std::size_t> write_{0};
  alignas(64) std::atomic<std::size_t> read_{0};
};

}  // namespace framebus
