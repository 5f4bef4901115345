use std::path::PathBuf;

use clap_complete::Shell;

use super::{Context, Exit, Failure};

/// Arguments of `completions`.
#[derive(Debug, clap::Args)]
#[command(
    after_help = "Example:\n  portcullis completions bash > /etc/bash_completion.d/portcullis\n  portcullis completions man --into /usr/local/share/man/man1"
)]
pub struct CompletionsArgs {
    /// Shell, or `man` for the manual page
    #[arg(value_parser = kinds())]
    kind: String,
    /// Folder that the manual pages of all commands are written into (with `man`); without it the program's own is printed
    #[arg(long, value_name = "DIR")]
    into: Option<PathBuf>,
}

fn kinds() -> clap::builder::PossibleValuesParser {
    ["bash", "elvish", "fish", "powershell", "zsh", "man"].into()
}

/// Prints the script.
pub fn run(args: &CompletionsArgs, ctx: &Context) -> Result<Exit, Failure> {
    let mut bytes = Vec::new();
    let mut command = super::command();
    if let Some(folder) = &args.into {
        if args.kind != "man" {
            let failure = Failure::new(Exit::Usage, format!("--into is for manual pages, not for {}", args.kind));
            return Err(failure.hint("print it, and send it to a file with: > FILE"));
        }
        clap_mangen::generate_to(command, folder).map_err(|error| {
            let what = format!("failed to write manual pages into {}", folder.display());
            Failure::from_error(Exit::Failed, what, &error).hint("the folder must exist: mkdir -p")
        })?;
        return Ok(Exit::Done);
    }
    if args.kind == "man" {
        clap_mangen::Man::new(command)
            .render(&mut bytes)
            .map_err(|error| Failure::from_error(Exit::Failed, "failed to render the manual page", &error))?;
    } else {
        let shell: Shell = args.kind.parse().map_err(|error: String| Failure::new(Exit::Usage, error))?;
        clap_complete::generate(shell, &mut command, "portcullis", &mut bytes);
    }
    ctx.printer.raw(String::from_utf8_lossy(&bytes).trim_end());
    Ok(Exit::Done)
}
