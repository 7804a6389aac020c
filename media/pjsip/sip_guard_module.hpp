#pragma once

#include <pybind11/pybind11.h>

// Adds the classes SipGuard and ReferGate to the module.
void add_sip_guard(pybind11::module_& m);
