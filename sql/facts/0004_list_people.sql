-- What we decide, third part: a list keeps every visitor of its people that did something, so that the undo of an
-- earlier merge leaves both of them on it. How many people they were is counted when the list is made.

ALTER TABLE segment_list ADD COLUMN people BIGINT NOT NULL DEFAULT 0 /* when it was made */;

-- Until now a list held one visitor of each person.
UPDATE segment_list SET people = (SELECT COUNT(*) FROM segment_member WHERE list = segment_list.id);
