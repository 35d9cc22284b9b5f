#include <google/protobuf/descriptor.pb.h>
#include <google/protobuf/dynamic_message.h>
#include <gtest/gtest.h>

#include <cmath>
#include <limits>
#include <memory>
#include <string>

#include "base/check.h"
#include "base/encoding.h"
#include "google/protobuf/any.pb.h"
#include "google/protobuf/timestamp.pb.h"
#include "google/rpc/error_details.pb.h"
#include "google/rpc/status.pb.h"
#include "wire/json_mapper.h"

// The types of proto3 JSON that the API itself has no field of.
namespace staithe::wire {
namespace {

using google::protobuf::Any;
using google::protobuf::Message;

using google::protobuf::DescriptorProto;
using google::protobuf::FieldDescriptorProto;

FieldDescriptorProto& add_field(DescriptorProto& type, const std::string& name,
                                FieldDescriptorProto::Type kind) {
  FieldDescriptorProto& field = *type.add_field();
  field.set_name(name);
  field.set_number(type.field_size());
  field.set_label(FieldDescriptorProto::LABEL_OPTIONAL);
  field.set_type(kind);
  return field;
}

void add_list(DescriptorProto& type, const std::string& name, FieldDescriptorProto::Type kind) {
  add_field(type, name, kind).set_label(FieldDescriptorProto::LABEL_REPEATED);
}

// A map is a list of entries, each a type of its own; it is called after its field, "by_i32" has
// "ByI32Entry". Names of message and enum types begin with a dot.
void add_map(DescriptorProto& type, const std::string& name, const std::string& entry_name,
             FieldDescriptorProto::Type key, FieldDescriptorProto::Type value,
             const std::string& value_type = {}) {
  DescriptorProto& entry = *type.add_nested_type();
  entry.set_name(entry_name);
  entry.mutable_options()->set_map_entry(true);
  add_field(entry, "key", key);
  FieldDescriptorProto& content = add_field(entry, "value", value);
  if (!value_type.empty()) content.set_type_name(value_type);
  FieldDescriptorProto& field = add_field(type, name, FieldDescriptorProto::TYPE_MESSAGE);
  field.set_label(FieldDescriptorProto::LABEL_REPEATED);
  field.set_type_name(".test.v1.All." + entry_name);
}

// A message with a field of every kind.
google::protobuf::FileDescriptorProto make_file() {
  using Field = FieldDescriptorProto;
  google::protobuf::FileDescriptorProto file;
  file.set_name("test.proto");
  file.set_package("test.v1");
  file.set_syntax("proto3");
  auto& color = *file.add_enum_type();
  color.set_name("Color");
  for (const char* name : {"RED", "BLUE"}) {
    auto& value = *color.add_value();
    value.set_name(name);
    value.set_number(color.value_size() - 1);
  }
  DescriptorProto& inner = *file.add_message_type();
  inner.set_name("Inner");
  add_field(inner, "name", Field::TYPE_STRING);
  DescriptorProto& all = *file.add_message_type();
  all.set_name("All");
  add_field(all, "i64", Field::TYPE_INT64);
  add_field(all, "u64", Field::TYPE_UINT64);
  add_field(all, "s64", Field::TYPE_SINT64);
  add_field(all, "f64", Field::TYPE_FIXED64);
  add_field(all, "sf64", Field::TYPE_SFIXED64);
  add_field(all, "i32", Field::TYPE_INT32);
  add_field(all, "s32", Field::TYPE_SINT32);
  add_field(all, "sf32", Field::TYPE_SFIXED32);
  add_field(all, "real32", Field::TYPE_FLOAT);
  add_field(all, "real64", Field::TYPE_DOUBLE);
  add_field(all, "raw", Field::TYPE_BYTES);
  add_list(all, "numbers", Field::TYPE_INT64);
  add_list(all, "raws", Field::TYPE_BYTES);
  add_map(all, "by_i32", "ByI32Entry", Field::TYPE_INT32, Field::TYPE_STRING);
  add_map(all, "by_u64", "ByU64Entry", Field::TYPE_UINT64, Field::TYPE_STRING);
  add_map(all, "by_bool", "ByBoolEntry", Field::TYPE_BOOL, Field::TYPE_STRING);
  add_map(all, "by_i64", "ByI64Entry", Field::TYPE_INT64, Field::TYPE_INT64);
  add_map(all, "inners", "InnersEntry", Field::TYPE_STRING, Field::TYPE_MESSAGE, ".test.v1.Inner");
  add_map(all, "colors", "ColorsEntry", Field::TYPE_STRING, Field::TYPE_ENUM, ".test.v1.Color");
  return file;
}

class JsonTypes : public testing::Test {
 protected:
  JsonTypes() {
    CHECK(pool_.BuildFile(make_file()) != nullptr);
    prototype_ = factory_.GetPrototype(pool_.FindMessageTypeByName("test.v1.All"));
  }

  // Read and printed again; what is refused is the field that the refusal names.
  std::string echo(const std::string& text) const {
    const std::unique_ptr<Message> message(prototype_->New());
    const auto outcome = parse_json(text, Spelling::descriptor, *message);
    if (outcome) return print_json(*message, Spelling::descriptor);
    EXPECT_EQ(outcome.error().code, Code::invalid_argument);
    return outcome.error().violations.empty() ? "-" : outcome.error().violations[0].field;
  }
  // {"FIELD":VALUE} alone.
  std::string echo(const std::string& field, const std::string& value) const {
    return echo("{\"" + field + "\":" + value + "}");
  }
  static std::string member(const std::string& field, const std::string& value) {
    return "{\"" + field + "\":" + value + "}";
  }

 private:
  google::protobuf::DescriptorPool pool_{google::protobuf::DescriptorPool::generated_pool()};
  google::protobuf::DynamicMessageFactory factory_;
  const Message* prototype_ = nullptr;
};

TEST_F(JsonTypes, whole_numbers_of_64_bits_are_strings_on_the_way_out) {
  for (const char* field : {"i64", "s64", "sf64"}) {
    for (const char* number : {"9223372036854775807", "-9223372036854775808", "-1"}) {
      const std::string quoted = "\"" + std::string(number) + "\"";
      EXPECT_EQ(echo(field, number), member(field, quoted));
      EXPECT_EQ(echo(field, quoted), member(field, quoted));
    }
    EXPECT_EQ(echo(field, "1e3"), member(field, "\"1000\""));
    EXPECT_EQ(echo(field, "0"), "{}");
  }
  for (const char* field : {"u64", "f64"}) {
    EXPECT_EQ(echo(field, "18446744073709551615"), member(field, "\"18446744073709551615\""));
    EXPECT_EQ(echo(field, "\"18446744073709551615\""), member(field, "\"18446744073709551615\""));
  }
  EXPECT_EQ(echo("numbers", R"([1,"-2",3.0])"), member("numbers", R"(["1","-2","3"])"));
}

TEST_F(JsonTypes, whole_numbers_beyond_their_type_are_refused) {
  for (const char* field : {"i64", "s64", "sf64"}) {
    for (const char* number :
         {"9223372036854775808", "-9223372036854775809", "\"1 \"", "\" 1\"", "\"\"", "\"0x1\"",
          "1.5", "1e30", "true", "\"NaN\"", "\"inf\"", "9223372036854775807.0", "[]", "{}"}) {
      EXPECT_EQ(echo(field, number), field) << number;
    }
  }
  for (const char* field : {"u64", "f64"}) {
    for (const char* number : {"18446744073709551616", "-1", "\"-1\"", "1.5"}) {
      EXPECT_EQ(echo(field, number), field) << number;
    }
  }
  for (const char* field : {"i32", "s32", "sf32"}) {
    EXPECT_EQ(echo(field, "-2147483648"), member(field, "-2147483648"));
    EXPECT_EQ(echo(field, "2147483647"), member(field, "2147483647"));
    EXPECT_EQ(echo(field, "2147483648"), field);
    EXPECT_EQ(echo(field, "-2147483649"), field);
  }
  EXPECT_EQ(echo("numbers", "[1,1.5]"), "numbers[1]");
}

// A double holds whole numbers exactly up to 2^53: what comes as 9007199254740993.0 would be
// changed on its way, so it is refused rather than rounded.
TEST_F(JsonTypes, no_whole_number_is_rounded) {
  EXPECT_EQ(echo("i64", "9007199254740993"), member("i64", "\"9007199254740993\""));
  EXPECT_EQ(echo("i64", "9007199254740993.0"), "i64");
}

TEST_F(JsonTypes, reals_are_printed_as_short_as_reads_back) {
  EXPECT_EQ(echo("real64", "0.1"), member("real64", "0.1"));
  EXPECT_EQ(echo("real32", "0.1"), member("real32", "0.1"));
  EXPECT_EQ(echo("real64", "-1.5"), member("real64", "-1.5"));
  EXPECT_EQ(echo("real64", "\"2.5\""), member("real64", "2.5"));
  EXPECT_EQ(echo("real64", "1.7976931348623157e308"), member("real64", "1.7976931348623157e+308"));
  EXPECT_EQ(echo("real64", "5e-324"), member("real64", "5e-324"));
  EXPECT_EQ(echo("real32", "3.4028235e38"), member("real32", "3.4028235e+38"));
  EXPECT_EQ(echo("real64", "1e2"), member("real64", "100"));
}

TEST_F(JsonTypes, reals_that_are_no_number_are_words) {
  for (const char* field : {"real32", "real64"}) {
    for (const char* word : {"\"NaN\"", "\"Infinity\"", "\"-Infinity\""}) {
      EXPECT_EQ(echo(field, word), member(field, word));
    }
    for (const char* word : {"\"nan\"", "\"inf\"", "\"-inf\"", "\"infinity\"", "\"+Infinity\"",
                             "\"\"", "\"1 \"", "true", "\"0x1p3\""}) {
      EXPECT_EQ(echo(field, word), field) << word;
    }
    // Not JSON at all.
    EXPECT_EQ(echo(field, "NaN"), "-");
    EXPECT_EQ(echo(field, "Infinity"), "-");
  }
}

TEST_F(JsonTypes, a_real_that_its_type_cannot_hold_is_refused) {
  EXPECT_EQ(echo("real32", "3.5e38"), "real32");
  EXPECT_EQ(echo("real32", "-3.5e38"), "real32");
  EXPECT_EQ(echo("real32", "\"1e39\""), "real32");
  EXPECT_EQ(echo("real64", "\"1e309\""), "real64");
}

TEST_F(JsonTypes, bytes_are_base64_in_either_alphabet) {
  const std::string bytes("\xfb\xff\x00\xfe", 4);
  EXPECT_EQ(base64(bytes), "+/8A/g==");
  for (const char* text : {"\"+/8A/g==\"", "\"+/8A/g\"", "\"-_8A_g==\"", "\"-_8A_g\""}) {
    EXPECT_EQ(echo("raw", text), member("raw", "\"+/8A/g==\"")) << text;
  }
  EXPECT_EQ(echo("raw", "\"\""), "{}");
  EXPECT_EQ(echo("raws", R"(["","QQ=="])"), member("raws", R"(["","QQ=="])"));
  for (const char* text : {"\"*\"", "\"QQ==QQ==\"", "1", "\"Q\"", "\"Q Q=\""}) {
    EXPECT_EQ(echo("raw", text), "raw") << text;
  }
}

TEST_F(JsonTypes, keys_of_maps_are_text_whatever_their_type) {
  EXPECT_EQ(echo("byI32", R"({"-1":"a","2":"b"})"), member("byI32", R"({"-1":"a","2":"b"})"));
  EXPECT_EQ(echo("byU64", R"({"18446744073709551615":"a"})"),
            member("byU64", R"({"18446744073709551615":"a"})"));
  EXPECT_EQ(echo("byBool", R"({"true":"a","false":"b"})"),
            member("byBool", R"({"false":"b","true":"a"})"));
  EXPECT_EQ(echo("byI64", R"({"-9223372036854775808":1})"),
            member("byI64", R"({"-9223372036854775808":"1"})"));
  EXPECT_EQ(echo("colors", R"({"a":"BLUE","b":0,"c":7})"),
            member("colors", R"({"a":"BLUE","b":"RED","c":7})"));
  EXPECT_EQ(echo("inners", R"({"a":{"name":"x"},"b":{}})"),
            member("inners", R"({"a":{"name":"x"},"b":{}})"));
}

TEST_F(JsonTypes, keys_and_values_of_maps_that_are_not_of_their_type_are_refused) {
  EXPECT_EQ(echo("byI32", R"({"a":"x"})"), "byI32[\"a\"]");
  EXPECT_EQ(echo("byI32", R"({"2147483648":"x"})"), "byI32[\"2147483648\"]");
  EXPECT_EQ(echo("byU64", R"({"-1":"x"})"), "byU64[\"-1\"]");
  EXPECT_EQ(echo("byBool", R"({"True":"x"})"), "byBool[\"True\"]");
  EXPECT_EQ(echo("byBool", R"({"1":"x"})"), "byBool[\"1\"]");
  EXPECT_EQ(echo("byI32", R"([])"), "byI32");
  EXPECT_EQ(echo("byI32", R"({"1":1})"), "byI32[\"1\"]");
  EXPECT_EQ(echo("inners", R"({"a":{"name":1}})"), "inners[\"a\"].name");
  EXPECT_EQ(echo("colors", R"({"a":"GREEN"})"), "colors[\"a\"]");
}

constexpr const char* base_url = "type.googleapis.com/";

Any pack(const Message& message) {
  Any any;
  any.set_type_url(base_url + message.GetTypeName());
  any.set_value(message.SerializeAsString());
  return any;
}

// The details of a status as they are printed, and the same again once that is read.
std::string print_detail(const Any& detail) {
  google::rpc::Status status;
  *status.add_details() = detail;
  const std::string text = print_json(status, Spelling::descriptor);
  EXPECT_TRUE(text.starts_with(R"({"details":[)") && text.ends_with("]}")) << text;
  return text.substr(12, text.size() - 14);
}

std::string refused_detail(const std::string& detail) {
  google::rpc::Status status;
  const auto outcome = parse_json(R"({"details":[)" + detail + "]}", Spelling::descriptor, status);
  if (outcome) return "accepted";
  return outcome.error().violations.empty() ? "-" : outcome.error().violations[0].field;
}

Any read_detail(const std::string& detail) {
  google::rpc::Status status;
  const auto outcome = parse_json(R"({"details":[)" + detail + "]}", Spelling::descriptor, status);
  EXPECT_TRUE(outcome) << (outcome ? "" : outcome.error().message);
  return status.details_size() == 1 ? status.details(0) : Any();
}

TEST(JsonAny, has_its_members_behind_its_type) {
  google::rpc::ResourceInfo info;
  info.set_resource_type("gateway");
  info.set_resource_name("g1");
  const std::string text =
      R"({"@type":"type.googleapis.com/google.rpc.ResourceInfo","resourceType":"gateway","resourceName":"g1"})";
  EXPECT_EQ(print_detail(pack(info)), text);
  google::rpc::ResourceInfo read;
  ASSERT_TRUE(read_detail(text).UnpackTo(&read));
  EXPECT_EQ(read.SerializeAsString(), info.SerializeAsString());
  // Members have no order.
  ASSERT_TRUE(
      read_detail(R"({"resourceName":"g1","@type":"type.googleapis.com/google.rpc.ResourceInfo"})")
          .UnpackTo(&read));
  EXPECT_EQ(read.resource_name(), "g1");
}

TEST(JsonAny, of_an_empty_message_is_its_type_alone) {
  const std::string text = R"({"@type":"type.googleapis.com/google.rpc.BadRequest"})";
  EXPECT_EQ(print_detail(pack(google::rpc::BadRequest())), text);
  EXPECT_EQ(read_detail(text).type_url(), "type.googleapis.com/google.rpc.BadRequest");
  EXPECT_EQ(print_detail(Any()), "{}");
  EXPECT_EQ(read_detail("{}").ByteSizeLong(), 0u);
}

TEST(JsonAny, puts_a_type_with_a_form_of_its_own_under_value) {
  google::protobuf::Timestamp time;
  time.set_seconds(1'767'222'000);
  const std::string text =
      R"({"@type":"type.googleapis.com/google.protobuf.Timestamp","value":"2025-12-31T23:00:00Z"})";
  EXPECT_EQ(print_detail(pack(time)), text);
  google::protobuf::Timestamp read;
  ASSERT_TRUE(read_detail(text).UnpackTo(&read));
  EXPECT_EQ(read.seconds(), time.seconds());
  const std::string outer =
      R"({"@type":"type.googleapis.com/google.protobuf.Any","value":)" + text + "}";
  EXPECT_EQ(print_detail(pack(pack(time))), outer);
  Any inner;
  ASSERT_TRUE(read_detail(outer).UnpackTo(&inner));
  ASSERT_TRUE(inner.UnpackTo(&read));
}

TEST(JsonAny, of_an_unknown_type_or_of_bytes_that_are_not_of_it_shows_the_bytes) {
  Any any;
  any.set_type_url("example.com/test.v1.Unknown");
  any.set_value("abc");
  EXPECT_EQ(print_detail(any), R"({"@type":"example.com/test.v1.Unknown","value":"YWJj"})");
  any.set_type_url("type.googleapis.com/google.rpc.BadRequest");
  any.set_value("\xff");
  EXPECT_EQ(print_detail(any),
            R"({"@type":"type.googleapis.com/google.rpc.BadRequest","value":"/w=="})");
}

TEST(JsonAny, names_what_is_wrong_with_it) {
  EXPECT_EQ(refused_detail(R"({"@type":"example.com/test.v1.Unknown"})"), "details[0].@type");
  EXPECT_EQ(refused_detail(R"({"@type":""})"), "details[0].@type");
  EXPECT_EQ(refused_detail(R"({"@type":5})"), "details[0].@type");
  EXPECT_EQ(refused_detail(R"({"resourceName":"g1"})"), "details[0].@type");
  EXPECT_EQ(refused_detail(R"({"@type":"type.googleapis.com/google.protobuf.Timestamp"})"),
            "details[0].value");
  EXPECT_EQ(
      refused_detail(R"({"@type":"type.googleapis.com/google.rpc.ResourceInfo","resourceName":1})"),
      "details[0].resourceName");
  EXPECT_EQ(refused_detail("[]"), "details[0]");
}

// Each level is a few bytes to whoever sends it: printed one within the other, they would be a
// frame of the stack each.
TEST(JsonAny, nested_without_end_is_printed_as_bytes_at_some_depth) {
  constexpr int levels = 50'000;
  const std::string url = std::string(base_url) + "google.protobuf.Any";
  std::vector<std::string> heads;
  std::size_t size = 0;
  for (int i = 0; i < levels; ++i) {
    std::string head = "\x0a" + std::string(1, static_cast<char>(url.size())) + url + "\x12";
    for (std::size_t left = size; true; left >>= 7) {
      head += static_cast<char>((left & 0x7f) | (left > 0x7f ? 0x80 : 0));
      if (left <= 0x7f) break;
    }
    size += head.size();
    heads.push_back(std::move(head));
  }
  std::string bytes;
  for (auto head = heads.rbegin(); head != heads.rend(); ++head) bytes += *head;
  Any any;
  ASSERT_TRUE(any.ParseFromString(bytes));
  const std::string text = print_detail(any);
  std::size_t depth = 0;
  for (auto at = text.find("@type"); at != std::string::npos; at = text.find("@type", at + 1)) {
    ++depth;
  }
  EXPECT_GT(depth, 5u);
  EXPECT_LT(depth, 100u);
  EXPECT_GT(text.size(), bytes.size()) << "nothing is left out";
}

TEST(JsonAny, nested_without_end_is_refused_when_read) {
  const std::string open = R"({"@type":"type.googleapis.com/google.protobuf.Any","value":)";
  std::string text = "{}";
  for (int i = 0; i < 50; ++i) text = open + text + "}";
  EXPECT_EQ(refused_detail(text), "accepted");
  for (int i = 0; i < 50; ++i) text = open + text + "}";
  EXPECT_EQ(refused_detail(text), "-");
}

}  // namespace
}  // namespace staithe::wire
