use clap_complete::Shell;

use super::{Context, Exit, Failure};

/// Arguments of `completions`.
#[derive(Debug, clap::Args)]
#[command(
    after_help = "Example:\n  portcullis completions bash > /etc/bash_completion.d/portcullis\n  portcullis completions man > portcullis.1"
)]
pub struct CompletionsArgs {
    /// Shell, or `man` for the manual page
    #[arg(value_parser = kinds())]
    kind: String,
}

fn kinds() -> clap::builder::PossibleValuesParser {
    ["bash", "elvish", "fish", "powershell", "zsh", "man"].into()
}

/// Prints the script.
pub fn run(args: &CompletionsArgs, ctx: &Context) -> Result<Exit, Failure> {
    let mut bytes = Vec::new();
    let mut command = super::command();
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
