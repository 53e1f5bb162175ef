//! Where the images come from.

use crate::args::Args;
use crate::download_bar::Download;
use crate::{download, sheet};
use wgrad::Result;
use wgrad::data::{ImageSet, cifar};

/// The training and the test images that the command line asks for.
pub fn cifar10(args: &Args) -> Result<(ImageSet, ImageSet)> {
    let mut folder = args.data.clone();
    if args.download {
        let bar = Download::new();
        folder = Some(download::cifar10(folder.as_deref(), &mut |done, total| bar.set(done, total))?);
    }
    if let Some(folder) = folder {
        let cifar::Cifar { train, test } = cifar::load(folder)?;
        return Ok((train, test));
    }
    macro_rules! embedded {
        ($set:literal) => {
            sheet::images(
                $set,
                include_bytes!(concat!("../data/cifar10/", $set, ".png")),
                [32, 32],
                include_bytes!(concat!("../data/cifar10/", $set, "-labels")).to_vec(),
            )
        };
    }
    Ok((embedded!("train")?, embedded!("test")?))
}
