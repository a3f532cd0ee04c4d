//! Back ends that run the stage graphs, behind one trait.
