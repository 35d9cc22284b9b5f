#include <gtest/gtest.h>

#include "base/clock.h"
#include "base/encoding.h"
#include "base/metrics.h"
#include "base/random.h"
#include "base/result.h"
#include "base/time_text.h"

namespace staithe {
namespace {

TEST(Timestamp, prints_the_shortest_exact_fraction) {
  const Timestamp second{std::chrono::seconds{1'795'575'353}};
  EXPECT_EQ(format_timestamp(second), "2026-11-25T02:55:53Z");
  EXPECT_EQ(format_timestamp(second + std::chrono::milliseconds{5}), "2026-11-25T02:55:53.005Z");
  EXPECT_EQ(format_timestamp(second + std::chrono::microseconds{5}), "2026-11-25T02:55:53.000005Z");
}

TEST(Timestamp, reads_offsets_and_any_number_of_fraction_digits) {
  const Timestamp wanted{std::chrono::microseconds{1'795'575'353'123'456}};
  EXPECT_EQ(*parse_timestamp("2026-11-25T02:55:53.123456Z"), wanted);
  EXPECT_EQ(*parse_timestamp("2026-11-25T04:25:53.123456789+01:30"), wanted);
  EXPECT_EQ(*parse_timestamp("2026-11-24t21:55:53.123456-05:00"), wanted);
}

TEST(Timestamp, refuses_what_is_not_a_full_date_time) {
  for (const char* text :
       {"", "2026-11-25", "2026-11-25T02:55:53", "2026-02-30T00:00:00Z", "2026-11-25T24:00:00Z",
        "2026-11-25T02:55:53.Z", "2026-11-25T02:55:53Zx", "0000-01-01T00:00:00Z"}) {
    EXPECT_FALSE(parse_timestamp(text)) << text;
  }
}

TEST(Uuid, is_version_4_and_differs) {
  SeededRandom random(1);
  const std::string one = random.uuid();
  EXPECT_EQ(one.size(), 36u);
  EXPECT_EQ(one[14], '4');
  EXPECT_NE(std::string("89ab").find(one[19]), std::string::npos);
  EXPECT_NE(one, random.uuid());
}

TEST(Base64, agrees_with_the_examples_of_rfc_4648) {
  const std::pair<std::string, std::string> cases[] = {{"", ""},
                                                       {"f", "Zg=="},
                                                       {"fo", "Zm8="},
                                                       {"foo", "Zm9v"},
                                                       {"foob", "Zm9vYg=="},
                                                       {"fooba", "Zm9vYmE="},
                                                       {"foobar", "Zm9vYmFy"}};
  for (const auto& [plain, encoded] : cases) {
    EXPECT_EQ(base64(plain), encoded);
    EXPECT_EQ(base64_decode(encoded), plain);
  }
  EXPECT_EQ(base64_decode("Zg"), "f");
  EXPECT_EQ(base64_decode("_-8"), "\xff\xef");
  EXPECT_FALSE(base64_decode("Z"));
  EXPECT_FALSE(base64_decode("Zm9v!"));
}

TEST(Utf8, refuses_overlong_forms_surrogates_and_stray_tails) {
  EXPECT_TRUE(is_utf8("a\xc3\xa4\xe2\x82\xac\xf0\x9f\x98\x80"));
  for (const char* text :
       {"\xc0\x80", "\xed\xa0\x80", "\x80", "\xe2\x82", "\xf4\x90\x80\x80", "\xff"}) {
    EXPECT_FALSE(is_utf8(text));
  }
}

TEST(JsonQuote, escapes_and_always_yields_utf8) {
  EXPECT_EQ(json_quote("a\"b\\c\n\x01\xff"), "\"a\\\"b\\\\c\\n\\u0001\xef\xbf\xbd\"");
}

TEST(PercentCoding, round_trips_and_refuses_bad_escapes) {
  EXPECT_EQ(percent_encode("a/b:c d"), "a%2Fb%3Ac%20d");
  EXPECT_EQ(percent_decode("a%2Fb%3ac%20d"), "a/b:c d");
  EXPECT_FALSE(percent_decode("%2"));
  EXPECT_FALSE(percent_decode("%zz"));
}

TEST(Metrics, keeps_the_number_of_series_bounded) {
  Metrics metrics;
  for (int i = 0; i < 10'000; ++i) {
    metrics.counter("requests_total", "Requests.", {{"model", std::to_string(i)}}).add();
  }
  const std::string text = metrics.render();
  EXPECT_LE(static_cast<std::size_t>(std::count(text.begin(), text.end(), '\n')),
            Metrics::series_max + 3);
  EXPECT_NE(text.find("requests_total{model=\"other\"} 8000"), std::string::npos);
}

TEST(Result, carries_the_error_up) {
  const auto inner = []() -> Result<int> {
    return Error{.code = Code::not_found, .message = "gone"};
  };
  const auto outer = [&]() -> Result<std::string> {
    TRY_ASSIGN(const int value, inner());
    return std::to_string(value);
  };
  EXPECT_EQ(outer().error().message, "gone");
}

}  // namespace
}  // namespace staithe
