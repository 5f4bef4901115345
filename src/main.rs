//! The `portcullis` program: a thin shell around the library's command line.

fn main() -> std::process::ExitCode {
    portcullis::cli::main()
}
