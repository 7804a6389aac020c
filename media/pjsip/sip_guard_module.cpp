// The Python face of the SIP guard; the promises are in framebus.pyi.
#include "sip_guard_module.hpp"

#include <pybind11/stl.h>

#include "sip_guard.hpp"

namespace py = pybind11;
using framebus::GuardRules;
using framebus::SipGuard;

void add_sip_guard(py::module_& m) {
  py::class_<SipGuard>(m, "SipGuard")
      .def(py::init([](std::vector<std::string> networks, std::vector<std::string> scanners, bool drop_strangers,
                       int retry_after) {
             return std::make_unique<SipGuard>(
                 GuardRules{std::move(networks), std::move(scanners), drop_strangers, retry_after});
           }),
           py::arg("networks"), py::arg("scanners"), py::arg("drop_strangers"), py::arg("retry_after"))
      .def("install", &SipGuard::install)
      .def("set_load", &SipGuard::set_load, py::arg("active"), py::arg("limit"))
      .def("set_draining", &SipGuard::set_draining)
      .def("counts", [](const SipGuard& guard) {
        py::dict out;
        for (const auto& [name, value] : guard.counts()) out[name.c_str()] = value;
        return out;
      });
}
