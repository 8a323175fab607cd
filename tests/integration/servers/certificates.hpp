#pragma once

#include <string>

#include "server.hpp"

namespace weir::test {

/// Where a server's certificate and its key are, in PEM.
struct Certificate {
    std::string certificate;
    std::string key;
};

/// What is wrong with a certificate.
enum class Flaw { none, expired, wrong_host };

/// A certificate authority of the test's own, which lives in a server's directory.
///
/// Its certificates are for `localhost` and 127.0.0.1, unless they are to be for the wrong host.
class Authority {
public:
    explicit Authority(Scratch const& scratch) : scratch_{scratch} {
        scratch.write(
            "ca.conf",
            "[ca]\ndefault_ca=it\n[it]\ndatabase=ca.index\nserial=ca.serial\nnew_certs_dir=.\nprivate_key=ca.key\n"
            "certificate=ca.pem\ndefault_md=sha256\npolicy=any\ncopy_extensions=copy\nunique_subject=no\n"
            "[any]\ncommonName=supplied\n[req]\ndistinguished_name=dn\n[dn]\n");
        scratch.write("ca.index", "");
        scratch.write("ca.serial", "01");
        openssl({"req", "-x509", "-config", "ca.conf", "-newkey", "ec", "-pkeyopt", "ec_paramgen_curve:prime256v1",
                 "-nodes", "-keyout", "ca.key", "-out", "ca.pem", "-subj", "/CN=weir tests", "-days", "2", "-addext",
                 "basicConstraints=critical,CA:TRUE"});
    }

    static void needs() { program_path(); }

    /// What a client is to trust.
    std::string root() const { return file("ca.pem"); }

    Certificate issue(Flaw flaw = Flaw::none) {
        std::string const name = "server" + std::to_string(++issued_);
        std::string const hosts = flaw == Flaw::wrong_host ? "DNS:elsewhere.invalid" : "DNS:localhost,IP:127.0.0.1";
        openssl({"req", "-new", "-config", "ca.conf", "-newkey", "ec", "-pkeyopt", "ec_paramgen_curve:prime256v1",
                 "-nodes", "-keyout", name + ".key", "-out", name + ".csr", "-subj", "/CN=" + name, "-addext",
                 "subjectAltName=" + hosts});
        Command sign{"ca", "-config", "ca.conf", "-batch", "-notext", "-in", name + ".csr", "-out", name + ".pem"};
        if (flaw == Flaw::expired)
            sign.insert(sign.end(), {"-startdate", "20200101000000Z", "-enddate", "20200102000000Z"});
        else
            sign.insert(sign.end(), {"-days", "2"});
        openssl(std::move(sign));
        return {file(name + ".pem"), file(name + ".key")};
    }

private:
    static std::string program_path() { return program({"/usr/bin/openssl"}); }

    void openssl(Command words) const {
        words.insert(words.begin(), program_path());
        run({.command = std::move(words), .directory = scratch_.path(), .log = {}, .account = scratch_.account()});
    }
    std::string file(std::string const& name) const { return (scratch_.path() / name).string(); }

    Scratch const& scratch_;
    int issued_ = 0;
};

}  // namespace weir::test
