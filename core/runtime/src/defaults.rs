//! What a container gets when nobody asked for anything else.
