#include "model/catalogue.h"

#include <gtest/gtest.h>

#include "model/capacity_claim.h"
#include "model/catalogue_slot.h"

namespace staithe::model {
namespace {

using Words = std::vector<std::string>;

Catalogue make_catalogue() {
  return {.zones = {"US-EAST-04A", "US-WEST-04A", "US-LAB-01A"},
          .instance_types = {{"rtxp6000-8x", 8}, {"GB200-4x", 4}},
          .zone_instance_types = {{"US-EAST-04A", {"rtxp6000-8x", "gb200-4X"}},
                                  {"US-WEST-04A", {"rtxp6000-8x"}}}};
}

TEST(Folding, makes_spellings_comparable) {
  EXPECT_EQ(fold_zone("us-East-04a"), "US-EAST-04A");
  EXPECT_EQ(fold_instance("GB200-4X"), "gb200-4x");
}

TEST(Catalogue, compares_without_regard_to_letter_case) {
  const Catalogue catalogue = make_catalogue();
  EXPECT_TRUE(catalogue.has_zone("us-east-04a"));
  EXPECT_FALSE(catalogue.has_zone("us-east-04"));
  EXPECT_TRUE(catalogue.offers("us-east-04a", "Gb200-4x"));
  EXPECT_FALSE(catalogue.offers("US-WEST-04A", "gb200-4x"));
  EXPECT_FALSE(catalogue.offers("US-LAB-01A", "rtxp6000-8x"));
  ASSERT_NE(catalogue.find_instance_type("gb200-4x"), nullptr);
  EXPECT_EQ(catalogue.find_instance_type("gb200-4x")->gpu_count, 4u);
  EXPECT_EQ(catalogue.find_instance_type("gb200"), nullptr);
}

TEST(Catalogue, lists_instance_types_as_advertised_sorted_and_once) {
  const Catalogue catalogue = make_catalogue();
  EXPECT_EQ(catalogue.instance_types_in({}), (Words{"GB200-4x", "rtxp6000-8x"}));
  EXPECT_EQ(catalogue.instance_types_in({"us-west-04a"}), (Words{"rtxp6000-8x"}));
  EXPECT_EQ(catalogue.instance_types_in({"us-west-04a", "US-EAST-04A"}),
            (Words{"GB200-4x", "rtxp6000-8x"}));
  EXPECT_EQ(catalogue.instance_types_in({"US-LAB-01A"}), Words{});
}

TEST(CatalogueSlot, knows_what_the_server_started_with_and_what_has_joined_since) {
  CatalogueSlot slot(make_catalogue());
  const auto before = slot.get();
  const Node node{.id = "n1",
                  .zone = "EU-LAB-01A",
                  .instance_type = "RTX-2x",
                  .gpu_count = 2,
                  .owner_organization = {}};
  slot.set_joined({node});
  EXPECT_TRUE(slot.get()->offers("eu-lab-01a", "rtx-2x"));
  EXPECT_TRUE(slot.get()->offers("US-WEST-04A", "rtxp6000-8x"));
  EXPECT_EQ(slot.get()->find_instance_type("rtx-2x")->gpu_count, 2u);
  EXPECT_FALSE(before->has_zone("EU-LAB-01A")) << "whoever reads keeps what it read";
  slot.set_joined({});
  EXPECT_FALSE(slot.get()->has_zone("EU-LAB-01A"));
}

TEST(Catalogue, a_machine_of_a_known_zone_and_type_adds_neither_twice) {
  Catalogue catalogue = make_catalogue();
  const Node node{.id = "n1",
                  .zone = "us-east-04a",
                  .instance_type = "Gb200-4x",
                  .gpu_count = 2,
                  .owner_organization = {}};
  catalogue.add(node);
  EXPECT_EQ(catalogue.zones, make_catalogue().zones);
  EXPECT_EQ(catalogue.zone_instance_types, make_catalogue().zone_instance_types);
  EXPECT_EQ(catalogue.find_instance_type("gb200-4x")->gpu_count, 2u) << "the smallest";
}

}  // namespace
}  // namespace staithe::model
