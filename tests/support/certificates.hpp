#pragma once
// Certificates made in memory, for tests of TLS.

#include <openssl/bio.h>
#include <openssl/ec.h>
#include <openssl/evp.h>
#include <openssl/pem.h>
#include <openssl/x509.h>
#include <openssl/x509v3.h>

#include <chrono>
#include <memory>
#include <stdexcept>
#include <string>

namespace weir::test {

/// A certificate and the key to it.
class Identity {
public:
    struct Traits {
        std::string names{};  ///< as in `DNS:localhost,IP:127.0.0.1`
        std::chrono::hours from{-1};
        std::chrono::hours to{1};
    };

    /// An authority of its own.
    static Identity authority(std::string const& name) {
        Identity made{name, {}};
        made.extend(NID_basic_constraints, "critical,CA:TRUE");
        made.sign(made);
        return made;
    }

    /// Signed by this authority.
    Identity issue(Traits const& traits) const {
        Identity made{"server", traits};
        made.extend(NID_subject_alt_name, traits.names);
        check(X509_set_issuer_name(made.certificate_.get(), X509_get_subject_name(certificate_.get())));
        made.sign(*this);
        return made;
    }

    /// Signed by itself.
    static Identity self_signed(Traits const& traits) {
        Identity made{"server", traits};
        made.extend(NID_subject_alt_name, traits.names);
        made.sign(made);
        return made;
    }

    std::string certificate() const {
        return text([&](BIO* out) { return PEM_write_bio_X509(out, certificate_.get()); });
    }
    std::string key() const {
        return text(
            [&](BIO* out) { return PEM_write_bio_PrivateKey(out, key_.get(), nullptr, nullptr, 0, nullptr, nullptr); });
    }

private:
    template <class T, void (*free)(T*)>
    struct Free {
        void operator()(T* thing) const { free(thing); }
    };

    Identity(std::string const& name, Traits const& traits) : key_{EVP_EC_gen("P-256")}, certificate_{X509_new()} {
        static long serial = 0;
        auto* const it = certificate_.get();
        check(key_ && it);
        check(X509_set_version(it, X509_VERSION_3));
        check(ASN1_INTEGER_set(X509_get_serialNumber(it), ++serial));
        check(X509_gmtime_adj(X509_getm_notBefore(it), std::chrono::seconds{traits.from}.count()) != nullptr);
        check(X509_gmtime_adj(X509_getm_notAfter(it), std::chrono::seconds{traits.to}.count()) != nullptr);
        check(X509_set_pubkey(it, key_.get()));
        auto* const subject = X509_get_subject_name(it);
        auto const* const text = reinterpret_cast<unsigned char const*>(name.c_str());
        check(X509_NAME_add_entry_by_txt(subject, "CN", MBSTRING_ASC, text, -1, -1, 0));
        check(X509_set_issuer_name(it, subject));
    }

    void extend(int what, std::string const& value) {
        std::unique_ptr<X509_EXTENSION, Free<X509_EXTENSION, X509_EXTENSION_free>> const extension{
            X509V3_EXT_conf_nid(nullptr, nullptr, what, value.c_str())};
        check(extension != nullptr);
        check(X509_add_ext(certificate_.get(), extension.get(), -1));
    }

    void sign(Identity const& by) { check(X509_sign(certificate_.get(), by.key_.get(), EVP_sha256())); }

    template <class Write>
    static std::string text(Write write) {
        std::unique_ptr<BIO, Free<BIO, BIO_free_all>> const out{BIO_new(BIO_s_mem())};
        check(write(out.get()));
        char* data = nullptr;
        auto const size = BIO_get_mem_data(out.get(), &data);
        return {data, static_cast<std::size_t>(size)};
    }

    static void check(bool good) {
        if (!good) throw std::runtime_error{"no certificate can be made"};
    }
    static void check(int result) { check(result > 0); }

    std::unique_ptr<EVP_PKEY, Free<EVP_PKEY, EVP_PKEY_free>> key_;
    std::unique_ptr<X509, Free<X509, X509_free>> certificate_;
};

}  // namespace weir::test
