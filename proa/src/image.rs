//! `proa image`: images of a cluster's nodes on this machine.

use crate::{cli, node::Place, nodes, print};
use anyhow::{Context, Result};
use proa_runtime_shim::{Containerd, Runtime as _, load};

/// Carries the command out.
pub(crate) async fn run(command: &cli::Image) -> Result<()> {
    match command {
        cli::Image::Load { cluster, file } => {
            for (number, place) in places(cluster)? {
                let names = load::load_image(&place.socket(), file)
                    .await
                    .with_context(|| format!("load {} into node {number}", file.display()))?;
                names.iter().try_for_each(|name| print(format!("loaded {name} into node {number}")))?;
            }
            Ok(())
        }
        cli::Image::Ls(cluster) => {
            let places = places(cluster)?;
            let is_one = places.len() == 1;
            for (number, place) in places {
                if !is_one {
                    print(format!("node {number}"))?;
                }
                list(cluster, &place).await?;
            }
            Ok(())
        }
    }
}

fn places(cluster: &cli::Named) -> Result<Vec<(u32, Place)>> {
    Ok(nodes::places(&cluster.name, &crate::settings::data_dir(cluster)?))
}

async fn list(cluster: &cli::Named, place: &Place) -> Result<()> {
    let runtime = Containerd::connect(&place.socket())
        .await
        .with_context(|| format!("reach the node of cluster {:?}; is it running?", cluster.name))?;
    let mut rows: Vec<(String, u64)> = Vec::new();
    for image in runtime.images().await? {
        let names = if image.tags.is_empty() { image.digests } else { image.tags };
        rows.extend(names.into_iter().map(|name| (name, image.size)));
    }
    rows.sort();
    for (name, size) in rows {
        // Tenths of a MiB.
        let tenths = size * 10 / (1 << 20);
        print(format!("{:>6}.{} MiB  {name}", tenths / 10, tenths % 10))?;
    }
    Ok(())
}
