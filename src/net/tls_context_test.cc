#include "net/tls_context.h"

#include <gtest/gtest.h>

#include <filesystem>
#include <string>

#include "net/tls_test_kit.h"

namespace staithe::net {
namespace {

using testing::Identity;
using testing::TemporaryFolder;

class TlsContextTest : public ::testing::Test {
 protected:
  std::string refusal(const TlsFiles& files) {
    const auto context = TlsContext::load(files);
    EXPECT_FALSE(context.has_value());
    if (context) return "";
    EXPECT_EQ(context.error().code, Code::invalid_argument);
    const std::string& message = context.error().message;
    EXPECT_EQ(message.find('\n'), std::string::npos);
    EXPECT_EQ(message.find(identity_.key_pem().substr(40, 20)), std::string::npos);
    return message;
  }
  static bool names(const std::string& message, const std::string& what) {
    return message.find(what) != std::string::npos;
  }

  TemporaryFolder folder_;
  Identity authority_{{.name = "test authority", .is_authority = true}};
  Identity identity_{{.valid_s = 90 * 24 * 3600}, &authority_};
  std::string certificate_ = folder_.write("cert.pem", identity_.certificate_pem());
  std::string key_ = folder_.write("key.pem", identity_.key_pem());
};

TEST_F(TlsContextTest, loads_a_pair_and_knows_when_it_ends) {
  const auto context = TlsContext::load({.certificate = certificate_, .key = key_});
  ASSERT_TRUE(context.has_value()) << context.error().message;
  const auto left = (*context)->expires_at() - SystemClock{}.now();
  EXPECT_LT(left, std::chrono::hours(90 * 24));
  EXPECT_GT(left, std::chrono::hours(90 * 24 - 1));
}

TEST_F(TlsContextTest, loads_a_chain) {
  const std::string chain =
      folder_.write("chain.pem", "Subject: a comment\n" + identity_.certificate_pem() +
                                     authority_.certificate_pem());
  EXPECT_TRUE(TlsContext::load({.certificate = chain, .key = key_}).has_value());
}

TEST_F(TlsContextTest, names_the_file_that_is_missing) {
  EXPECT_TRUE(names(refusal({.certificate = folder_.file("none.pem"), .key = key_}),
                    folder_.file("none.pem") + ": No such file"));
  EXPECT_TRUE(names(refusal({.certificate = certificate_, .key = folder_.file("none.pem")}),
                    "key file " + folder_.file("none.pem")));
  EXPECT_TRUE(
      names(refusal({.certificate = folder_.write("empty.pem", ""), .key = key_}), "empty.pem"));
  EXPECT_TRUE(names(
      refusal({.certificate = std::filesystem::path(certificate_).parent_path(), .key = key_}),
      "certificate file"));
}

TEST_F(TlsContextTest, names_the_file_that_holds_something_else) {
  EXPECT_TRUE(names(refusal({.certificate = key_, .key = key_}), key_ + " holds no certificate"));
  EXPECT_TRUE(names(refusal({.certificate = certificate_, .key = certificate_}),
                    certificate_ + " holds no private key"));
  const std::string cut = folder_.write(
      "cut.pem", identity_.certificate_pem() + authority_.certificate_pem().substr(0, 200));
  EXPECT_TRUE(names(refusal({.certificate = cut, .key = key_}), cut + " is damaged"));
}

TEST_F(TlsContextTest, refuses_a_key_that_belongs_to_another_certificate) {
  const Identity other({});
  const std::string key = folder_.write("other.pem", other.key_pem());
  const std::string message = refusal({.certificate = certificate_, .key = key});
  EXPECT_TRUE(names(message, key + " does not belong to the certificate " + certificate_));
}

TEST_F(TlsContextTest, refuses_a_locked_key_without_asking_for_its_passphrase) {
  const std::string key = folder_.write("locked.pem", identity_.locked_key_pem("open sesame"));
  const std::string message = refusal({.certificate = certificate_, .key = key});
  EXPECT_TRUE(names(message, key + " is locked with a passphrase"));
}

TEST_F(TlsContextTest, refuses_a_client_ca_file_without_certificates) {
  for (const auto mode : {ClientCertificates::optional, ClientCertificates::required}) {
    TlsFiles files{
        .certificate = certificate_, .key = key_, .client_ca = key_, .client_certificates = mode};
    EXPECT_TRUE(names(refusal(files), "client CA file " + key_ + " holds no certificate"));
    files.client_ca = folder_.file("none.pem");
    EXPECT_TRUE(names(refusal(files), "client CA file " + files.client_ca));
  }
}

TEST_F(TlsContextTest, a_client_refuses_a_ca_file_that_is_none) {
  EXPECT_FALSE(TlsClientContext::load(folder_.file("none.pem")).has_value());
  EXPECT_FALSE(TlsClientContext::load(key_).has_value());
  EXPECT_TRUE(TlsClientContext::load(certificate_).has_value());
}

}  // namespace
}  // namespace staithe::net
