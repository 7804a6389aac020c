// The Python face of the SIP guard and the REFER gate; the promises are in framebus.pyi.
#include "sip_guard_module.hpp"

#include <pybind11/stl.h>

#include "refer_gate.hpp"
#include "sip_guard.hpp"

namespace py = pybind11;
using framebus::GuardRules;
using framebus::ReferGate;
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
  py::class_<ReferGate>(m, "ReferGate")
      .def(py::init<>())
      .def("install", &ReferGate::install)
      .def("news",
           [](ReferGate& gate) {
             py::list out;
             for (const auto& news : gate.news())
               out.append(py::make_tuple(
                   static_cast<int>(news.kind), news.call, news.ticket, news.code,
                   py::reinterpret_steal<py::str>(PyUnicode_DecodeUTF8(
                       news.message.data(), static_cast<py::ssize_t>(news.message.size()), "replace"))));
             return out;
           })
      .def(
          "send",
          [](ReferGate& gate, int call, std::string method, std::vector<std::pair<std::string, std::string>> headers,
             std::string content_type, std::string body) {
            return gate.send(call, {std::move(method), std::move(headers), std::move(content_type), std::move(body)});
          },
          py::arg("call"), py::arg("method"), py::arg("headers"), py::arg("content_type") = "", py::arg("body") = "")
      .def("answer", &ReferGate::answer, py::arg("ticket"), py::arg("code"))
      .def_static(
          "dialog",
          [](int call) {
            const auto name = ReferGate::dialog(call);
            return py::make_tuple(name.call_id, name.local_tag, name.remote_tag, name.target);
          },
          py::arg("call"));
  m.attr("REFER_ASKED") = static_cast<int>(ReferGate::Kind::asked);
  m.attr("REFER_NOTIFIED") = static_cast<int>(ReferGate::Kind::notified);
  m.attr("REFER_ANSWERED") = static_cast<int>(ReferGate::Kind::answered);
}
