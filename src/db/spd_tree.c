/* SPDX-License-Identifier: BSD-2-Clause */
/*
 * Treaps: search trees by rank, heaps by random weight, and so of logarithmic depth whatever
 * the order in which priorities come. A node knows the one above it, so that nothing is
 * searched for to take it out.
 */
#include "db/spd_node.h"

void spd_tree_insert(struct spd_node **root, enum spd_tree t, struct spd_node *n)
{
	struct spd_node **left = &n->tree[t].left, **right = &n->tree[t].right;
	struct spd_node *above = NULL, *above_left = n, *above_right = n, *at;

	while (*root && (*root)->rank.weight >= n->rank.weight) {
		above = *root;
		root = spd_rank_before(&n->rank, &above->rank) ? &above->tree[t].left
							       : &above->tree[t].right;
	}
	/* what is below parts into what comes before n and what comes behind */
	at = *root;
	*root = n;
	n->tree[t].up = above;
	while (at) {
		if (spd_rank_before(&at->rank, &n->rank)) {
			*left = at;
			at->tree[t].up = above_left;
			above_left = at;
			left = &at->tree[t].right;
			at = at->tree[t].right;
		} else {
			*right = at;
			at->tree[t].up = above_right;
			above_right = at;
			right = &at->tree[t].left;
			at = at->tree[t].left;
		}
	}
	*left = *right = NULL;
}

void spd_tree_remove(struct spd_node **root, enum spd_tree t, struct spd_node *n)
{
	struct spd_node *left = n->tree[t].left, *right = n->tree[t].right, *above = n->tree[t].up,
			*top;

	if (above)
		root = above->tree[t].left == n ? &above->tree[t].left : &above->tree[t].right;
	while (left && right) {
		if (left->rank.weight >= right->rank.weight) {
			top = left;
			*root = top;
			root = &top->tree[t].right;
			left = top->tree[t].right;
		} else {
			top = right;
			*root = top;
			root = &top->tree[t].left;
			right = top->tree[t].left;
		}
		top->tree[t].up = above;
		above = top;
	}
	top = left ? left : right;
	*root = top;
	if (top)
		top->tree[t].up = above;
}

struct spd_node *spd_tree_first(struct spd_node *root, enum spd_tree t)
{
	while (root && root->tree[t].left)
		root = root->tree[t].left;
	return root;
}

struct spd_node *spd_tree_next(enum spd_tree t, const struct spd_node *n)
{
	const struct spd_node *above = n->tree[t].up;

	if (n->tree[t].right)
		return spd_tree_first(n->tree[t].right, t);
	while (above && above->tree[t].right == n) {
		n = above;
		above = n->tree[t].up;
	}
	return (struct spd_node *)above;
}
