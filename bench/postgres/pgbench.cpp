// PostgreSQL's own clients, with the same query: what the server can do when nothing is checked but that it answers.

#include <benchmark/benchmark.h>

#include <filesystem>
#include <fstream>
#include <stdexcept>
#include <string>

#include "servers.hpp"

namespace {

using weir::test::Command;

/// Requests a second.
double run(std::string const& url, std::string const& manner) {
    auto const script = std::filesystem::temp_directory_path() / ("weir_" + weir::test::secret() + ".sql");
    std::ofstream{script} << "\\set n random(1, 1000000)\nSELECT :n::bigint * 7 + 1;\n";
    Command command{weir::test::PostgresServer::postgres("pgbench"),
                    "--no-vacuum",
                    "--protocol=extended",
                    "--client=" + std::to_string(bench::clients),
                    "--jobs=2",
                    "--time=1",
                    "--file=" + script.string()};
    if (!manner.empty()) command.push_back(manner);
    command.push_back(url);
    std::string const said = weir::test::run({.command = command, .directory = "/", .log = {}, .account = {}});
    std::filesystem::remove(script);
    auto const at = said.find("\ntps = ");
    if (at == said.npos) throw std::runtime_error{"pgbench: " + said};
    return std::stod(said.substr(at + 7));
}

void contend(char const* name, char const* manner) {
    benchmark::RegisterBenchmark(name,
                                 [manner](benchmark::State& state) {
                                     for (auto _ : state)
                                         state.SetIterationTime(1 / run(bench::server().url(), manner));
                                 })
        ->UseManualTime()
        ->Iterations(1);
}

bool const registered = [] {
    contend("postgres/pgbench_session_per_client", "");
    contend("postgres/pgbench_connect_each", "--connect");
    return true;
}();

}  // namespace
