"""The programs that drew the style pictures of ours that nstjax brings."""
