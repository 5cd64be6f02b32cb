#include "driver/lookup.h"
#include "test.h"

static enum lookup match(const char *id, const char *name, const char *has_id, const char *has_name,
			 const char *workspace)
{
	const struct lookup_key key = {id, name};
	const struct lookup_sandbox s = {has_id, has_name, workspace};
	return lookup_match(&key, &s);
}

TEST(the_id_decides)
{
	EQ(match("1", "a", "1", "a", "w"), LOOKUP_ID);
	EQ(match("1", "a", "1", "other", "w"), LOOKUP_ID);
	EQ(match("1", "", "1", "a", ""), LOOKUP_ID);
	EQ(match("1", "a", "2", "b", "w"), LOOKUP_NONE);
}

TEST(the_name_counts_where_there_is_no_id)
{
	EQ(match("", "a", "2", "a", "w"), LOOKUP_NAME);
	EQ(match("1", "a", "", "a", ""), LOOKUP_NAME);
	EQ(match("", "", "", "", ""), LOOKUP_NONE);
	EQ(match("1", "", "2", "", ""), LOOKUP_NONE);
}

TEST(another_id_under_the_name_is_another_sandbox)
{
	EQ(match("1", "a", "2", "a", "w"), LOOKUP_NONE);
	EQ(match("1", "a", "2", "a", ""), LOOKUP_MISMATCH); /* made before v0.0.88 */
}

TEST(the_best_candidate_wins_in_any_order)
{
	enum lookup found = LOOKUP_NONE;
	OK(!lookup_better(&found, LOOKUP_NONE));
	OK(!lookup_better(&found, LOOKUP_MISMATCH));
	EQ(found, LOOKUP_MISMATCH);
	OK(lookup_better(&found, LOOKUP_NAME));
	OK(!lookup_better(&found, LOOKUP_MISMATCH));
	EQ(found, LOOKUP_NAME);
	OK(!lookup_better(&found, LOOKUP_NAME));
	EQ(found, LOOKUP_AMBIGUOUS);
	OK(!lookup_better(&found, LOOKUP_NAME));
	EQ(found, LOOKUP_AMBIGUOUS);
	OK(lookup_better(&found, LOOKUP_ID));
	OK(!lookup_better(&found, LOOKUP_NAME));
	EQ(found, LOOKUP_ID);
}
