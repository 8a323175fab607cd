#pragma once
// Why a TLS connection could not be opened.

#include <openssl/err.h>
#include <openssl/ssl.h>
#include <openssl/x509_vfy.h>

#include <boost/asio/error.hpp>
#include <boost/asio/ssl/error.hpp>
#include <boost/system/error_category.hpp>
#include <boost/system/error_code.hpp>
#include <boost/system/system_error.hpp>
#include <string>
#include <type_traits>

namespace weir::tls {

/// How a handshake can fail. The positive values are OpenSSL's `X509_V_ERR_…`, and any of those may come, named here or
/// not; other errors of OpenSSL are in Asio's category for them.
enum class Errc {
    hung_up = -2,                                                      ///< closed by the server during the handshake
    no_tls = -1,                                                       ///< what answered does not speak TLS
    expired = X509_V_ERR_CERT_HAS_EXPIRED,                             ///< the certificate's time is over
    not_yet_valid = X509_V_ERR_CERT_NOT_YET_VALID,                     ///< its time is to come
    wrong_host = X509_V_ERR_HOSTNAME_MISMATCH,                         ///< it is for other names
    wrong_address = X509_V_ERR_IP_ADDRESS_MISMATCH,                    ///< it is for other addresses
    self_signed = X509_V_ERR_DEPTH_ZERO_SELF_SIGNED_CERT,              ///< it is its own authority, and not trusted
    untrusted_root = X509_V_ERR_SELF_SIGNED_CERT_IN_CHAIN,             ///< its authority came with it, not trusted
    unknown_authority = X509_V_ERR_UNABLE_TO_GET_ISSUER_CERT_LOCALLY,  ///< nobody we know has signed it
};

namespace detail {

class ErrorCategory final : public boost::system::error_category {
public:
    constexpr ErrorCategory() noexcept : boost::system::error_category{0x77656972'00746c73ULL} {}

    char const* name() const noexcept override { return "weir.tls"; }

    std::string message(int value) const override {
        switch (static_cast<Errc>(value)) {
            case Errc::hung_up: return "the server closed the connection during the TLS handshake";
            case Errc::no_tls: return "the server does not speak TLS";
            default: return std::string{"server certificate: "} + X509_verify_cert_error_string(value);
        }
    }
};

inline constexpr ErrorCategory error_category_instance{};

}  // namespace detail

/// The category of `Errc`, named "weir.tls".
inline boost::system::error_category const& error_category() noexcept { return detail::error_category_instance; }

inline boost::system::error_code make_error_code(Errc e) noexcept { return {static_cast<int>(e), error_category()}; }

}  // namespace weir::tls

template <>
struct boost::system::is_error_code_enum<weir::tls::Errc> : std::true_type {};

namespace weir::tls::detail {

/// Of the last call of OpenSSL that failed on this thread.
inline boost::system::system_error last_error(std::string const& text) {
    boost::system::error_code const ec{static_cast<int>(::ERR_get_error()), boost::asio::error::get_ssl_category()};
    return boost::system::system_error{ec, text};
}

/// What is behind the error of a handshake.
inline boost::system::error_code cause_of(boost::system::error_code failed, SSL const* ssl) noexcept {
    if (failed == boost::asio::ssl::error::stream_truncated || failed == boost::asio::error::eof) return Errc::hung_up;
    if (failed.category() != boost::asio::error::get_ssl_category()) return failed;
    auto const reason = ERR_GET_REASON(static_cast<unsigned long>(failed.value()));
    if (reason == SSL_R_WRONG_VERSION_NUMBER) return Errc::no_tls;
    auto const verified = ::SSL_get_verify_result(ssl);
    if (reason != SSL_R_CERTIFICATE_VERIFY_FAILED || verified == X509_V_OK) return failed;
    return {static_cast<int>(verified), error_category()};
}

}  // namespace weir::tls::detail
