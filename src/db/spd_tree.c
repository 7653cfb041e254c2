/* SPDX-License-Identifier: BSD-2-Clause */
/*
 * Treaps: search trees by rank, heaps by random weight, and so of logarithmic depth whatever
 * the order in which priorities come.
 */
#include "db/spd_node.h"

void spd_tree_insert(struct spd_node **root, enum spd_tree t, struct spd_node *n)
{
	struct spd_node **left = &n->tree[t].left, **right = &n->tree[t].right, *at;

	while (*root && (*root)->rank.weight >= n->rank.weight)
		root = spd_rank_before(&n->rank, &(*root)->rank) ? &(*root)->tree[t].left
								 : &(*root)->tree[t].right;
	/* what is below parts into what comes before n and what comes behind */
	at = *root;
	*root = n;
	while (at) {
		if (spd_rank_before(&at->rank, &n->rank)) {
			*left = at;
			left = &at->tree[t].right;
			at = at->tree[t].right;
		} else {
			*right = at;
			right = &at->tree[t].left;
			at = at->tree[t].left;
		}
	}
	*left = *right = NULL;
}

void spd_tree_remove(struct spd_node **root, enum spd_tree t, struct spd_node *n)
{
	struct spd_node *left = n->tree[t].left, *right = n->tree[t].right;

	while (*root != n)
		root = spd_rank_before(&n->rank, &(*root)->rank) ? &(*root)->tree[t].left
								 : &(*root)->tree[t].right;
	while (left && right) {
		if (left->rank.weight >= right->rank.weight) {
			*root = left;
			root = &left->tree[t].right;
			left = left->tree[t].right;
		} else {
			*root = right;
			root = &right->tree[t].left;
			right = right->tree[t].left;
		}
	}
	*root = left ? left : right;
}

struct spd_node *spd_tree_first(struct spd_node *root, enum spd_tree t)
{
	while (root && root->tree[t].left)
		root = root->tree[t].left;
	return root;
}

struct spd_node *spd_tree_next(struct spd_node *root, enum spd_tree t, const struct spd_node *n)
{
	struct spd_node *next = NULL;

	if (n->tree[t].right)
		return spd_tree_first(n->tree[t].right, t);
	while (root != n) {
		if (spd_rank_before(&n->rank, &root->rank)) {
			next = root;
			root = root->tree[t].left;
		} else {
			root = root->tree[t].right;
		}
	}
	return next;
}
