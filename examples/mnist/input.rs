//! Where the images come from.

use crate::args::Args;
use crate::download_bar::Download;
use wgrad::Result;
use wgrad::data::{ImageSet, mnist};

/// The training and the test images that the command line asks for.
pub fn mnist(args: &Args) -> Result<(ImageSet, ImageSet)> {
    let mut folder = args.data.clone();
    if args.download {
        let bar = Download::new();
        folder = Some(mnist::download(folder.as_deref(), &mut |done, total| bar.set(done, total))?);
    }
    if let Some(folder) = folder {
        let mnist::Mnist { train, test } = mnist::load(folder)?;
        return Ok((train, test));
    }
    macro_rules! embedded {
        ($set:literal) => {
            mnist::from_bytes(
                include_bytes!(concat!("../data/mnist/", $set, "-images-idx3-ubyte.gz")),
                include_bytes!(concat!("../data/mnist/", $set, "-labels-idx1-ubyte.gz")),
            )
        };
    }
    Ok((embedded!("train")?, embedded!("t10k")?))
}
