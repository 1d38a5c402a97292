//! Services of a cluster as nftables rules of a node.
