#pragma once

// Precompiled for every test program.
#include <gtest/gtest.h>

#include "pch.h"
