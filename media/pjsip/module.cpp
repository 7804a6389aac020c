// The Python face of the frame bus; the promises are in framebus.pyi.
#include <pybind11/numpy.h>
#include <pybind11/pybind11.h>
#include <pybind11/stl.h>

#include <pj/log.h>

#include "frame_bus.hpp"
#include "pjsua_hooks.hpp"
#include "sip_guard_module.hpp"

namespace py = pybind11;
using framebus::FrameBus;
using framebus::FrameMeta;

namespace {

using Pcm = py::array_t<std::int16_t, py::array::c_style>;

py::object frame_dtype() {
  static_assert(sizeof(FrameMeta) == 32);
  const auto spec = py::module_::import("numpy").attr("dtype");
  py::list fields;
  fields.append(py::make_tuple("leg", "i4"));
  fields.append(py::make_tuple("samples", "i4"));
  fields.append(py::make_tuple("pts", "i8"));
  fields.append(py::make_tuple("arrived_ns", "i8"));
  fields.append(py::make_tuple("flags", "u4"));
  return spec(fields, py::arg("align") = true);
}

// int16 samples of any contiguous buffer: an int16 array, or bytes of one.
std::span<const std::int16_t> samples_of(const py::buffer_info& buffer) {
  const auto bytes = buffer.size * buffer.itemsize;
  const bool contiguous = buffer.ndim == 1 && (buffer.size == 0 || buffer.strides[0] == buffer.itemsize);
  const bool fits = (buffer.itemsize == 2 && buffer.format == "h") || (buffer.itemsize == 1 && bytes % 2 == 0);
  if (!contiguous || !fits) throw py::type_error("pcm must be a flat, contiguous buffer of int16 (or its bytes)");
  return {static_cast<const std::int16_t*>(buffer.ptr), static_cast<std::size_t>(bytes / 2)};
}

std::size_t poll(FrameBus& bus, py::array pcm, py::array meta) {
  if (pcm.ndim() != 2 || pcm.shape(1) != framebus::kMaxFrameSamples || !pcm.dtype().is(py::dtype::of<std::int16_t>()) ||
      !(pcm.flags() & py::array::c_style) || !pcm.writeable())
    throw py::type_error("pcm must be a C-contiguous int16 array of shape (rows, 320)");
  if (meta.ndim() != 1 || meta.itemsize() != sizeof(FrameMeta) || !(meta.flags() & py::array::c_style) ||
      !meta.writeable())
    throw py::type_error("meta must be an array of FRAME_DTYPE");
  const auto rows = static_cast<std::size_t>(std::min(pcm.shape(0), meta.shape(0)));
  auto* samples = static_cast<std::int16_t*>(pcm.mutable_data());
  auto* frames = static_cast<FrameMeta*>(meta.mutable_data());
  py::gil_scoped_release unlocked;
  return bus.poll(samples, frames, rows);
}

py::dict as_dict(const framebus::Figures& figures) {
  py::dict out;
  for (const auto& [name, value] : figures) out[name.c_str()] = value;
  return out;
}

py::list events(FrameBus& bus) {
  py::list out;
  for (const auto& event : bus.events())
    out.append(py::make_tuple(event.leg, static_cast<int>(event.kind), event.reply, event.value, event.t_ns));
  return out;
}

py::tuple as_tuple(framebus::Heard heard) { return py::make_tuple(heard.reply, heard.samples); }

py::array tick_histogram(const FrameBus& bus) {
  const auto rows = bus.tick_histogram();
  py::array_t<std::uint64_t> out({rows.size(), rows[0].size()});
  for (std::size_t row = 0; row < rows.size(); ++row)
    std::copy(rows[row].begin(), rows[row].end(), out.mutable_data(static_cast<py::ssize_t>(row), 0));
  return out;
}

Pcm simulate_tick(FrameBus& bus, std::int32_t leg, const py::buffer& pcm, int rate, std::int64_t arrived_ns,
                  std::uint32_t flags) {
  if (rate != 8000 && rate != framebus::kMaxRate) throw py::value_error("rate is 8000 or 16000");
  const auto view = pcm.request();
  const auto sent = bus.simulate_tick(leg, samples_of(view), rate, arrived_ns, flags);
  return Pcm(static_cast<py::ssize_t>(sent.size()), sent.data());
}

}  // namespace

PYBIND11_MODULE(framebus, m) {
  // PJLIB tells of its own start on stdout before anybody could configure its log.
  pj_log_set_level(1);
  m.doc() = "All legs' audio between PJMEDIA's clock and Python: see media/pjsip/README.md.";
  py::register_exception_translator([](std::exception_ptr error) {
    try {
      if (error) std::rethrow_exception(error);
    } catch (const std::invalid_argument& closed) {
      PyErr_SetString(PyExc_ValueError, closed.what());
    }
  });

  add_sip_guard(m);
  m.attr("FRAME_DTYPE") = frame_dtype();
  m.attr("LOST") = static_cast<int>(framebus::kLost);
  m.attr("DTX") = static_cast<int>(framebus::kDtx);
  m.attr("STARTED") = static_cast<int>(framebus::EventKind::started);
  m.attr("DRAINED") = static_cast<int>(framebus::EventKind::drained);
  m.attr("MARK") = static_cast<int>(framebus::EventKind::mark);
  m.attr("CLEARED") = static_cast<int>(framebus::EventKind::cleared);
  m.attr("UNDERRUN") = static_cast<int>(framebus::EventKind::underrun);
  m.attr("ATTACHED") = static_cast<int>(framebus::EventKind::attached);
  m.attr("DETACHED") = static_cast<int>(framebus::EventKind::detached);
  m.attr("BEAT_MS") = framebus::kBeatMs;
  m.attr("TICK_BOUNDS_US") = py::tuple(py::cast(framebus::kTickBoundsUs));

  py::class_<FrameBus, std::shared_ptr<FrameBus>>(m, "FrameBus")
      .def(py::init([](int max_legs, double rx_seconds, double playout_seconds) {
             if (max_legs < 1 || max_legs > 0xffff) throw py::value_error("max_legs is 1..65535");
             if (rx_seconds <= 0 || playout_seconds <= 0) throw py::value_error("seconds must be positive");
             return std::make_shared<FrameBus>(max_legs, rx_seconds, playout_seconds);
           }),
           py::arg("max_legs") = 4096, py::arg("rx_seconds") = 2.0, py::arg("playout_seconds") = 600.0)
      .def("fileno", &FrameBus::fileno)
      .def("install", [](std::shared_ptr<FrameBus> bus) { framebus::install(std::move(bus)); },
           py::call_guard<py::gil_scoped_release>())
      .def("wakeup", [](const FrameBus&) { framebus::wakeup(); })
      .def("open", &FrameBus::open)
      .def("bind", &FrameBus::bind, py::arg("leg"), py::arg("call_id"))
      .def("close", &FrameBus::close, py::arg("leg"))
      .def("sample_rate", &FrameBus::sample_rate, py::arg("leg"))
      .def("poll", &poll, py::arg("pcm"), py::arg("meta"))
      .def("write",
           [](FrameBus& bus, std::int32_t leg, const py::buffer& pcm, std::int64_t reply) {
             const auto view = pcm.request();
             return bus.write(leg, samples_of(view), reply);
           },
           py::arg("leg"), py::arg("pcm"), py::arg("reply"))
      .def("mark", &FrameBus::mark, py::arg("leg"), py::arg("mark"))
      .def("finish", &FrameBus::finish, py::arg("leg"))
      .def("clear",
           [](FrameBus& bus, std::int32_t leg, std::optional<std::int64_t> through) {
             return as_tuple(bus.clear(leg, through.value_or(INT64_MIN)));
           },
           py::arg("leg"), py::arg("through") = py::none())
      .def("position", [](FrameBus& bus, std::int32_t leg) { return as_tuple(bus.position(leg)); }, py::arg("leg"))
      .def("duck", &FrameBus::duck, py::arg("leg"), py::arg("gain"), py::arg("ramp_ms"))
      .def("patch", &FrameBus::patch, py::arg("leg"), py::arg("other"))
      .def("unpatch", &FrameBus::unpatch, py::arg("leg"))
      .def("events", &events)
      .def("stats", [](FrameBus& bus, std::int32_t leg) { return as_dict(bus.stats(leg)); }, py::arg("leg"))
      .def("totals", [](FrameBus& bus) { return as_dict(bus.totals()); })
      .def("tick_histogram", &tick_histogram)
      .def("simulate_tick", &simulate_tick, py::arg("leg"), py::arg("pcm"), py::arg("rate") = 8000,
           py::arg("arrived_ns") = 0, py::arg("flags") = 0);
}
