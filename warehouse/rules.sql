-- Rules that several statements ask for, each once, as macros.

-- How long after the end of its last leg a call may go on with another one, in seconds: six hours. A PBX gives the same
-- id again after a restart, so legs of one id that lie further apart are two calls.
CREATE OR REPLACE TEMP MACRO link_gap_seconds() AS CAST(6 * 3600 AS BIGINT);

-- How many seconds a leg lasted, as far as it can have: a vendor's nonsense must not reach beyond all dates.
CREATE OR REPLACE TEMP MACRO leg_seconds(duration_seconds) AS least(greatest(coalesce(duration_seconds, 0), 0), 1000000000);

-- How many weeks back the same weekday is looked at to know what an account usually spends.
CREATE OR REPLACE TEMP MACRO weeks_compared() AS 8;

-- What a leg says about the outcome of its call, after a digit: that of the smallest one is the call's. That a person
-- answered says more than that another leg was not answered; a machine answered, which kept the caller waiting for
-- nobody, also where a message was left in the end; a message was left at a telephone; a number of ours answered and none
-- of its telephones did; the line was engaged or nobody came; the caller gave up; only then that a trunk failed, since a
-- failed attempt is often followed by a better one.
CREATE OR REPLACE TEMP MACRO ranked_outcome(outcome, to_kind, by_person) AS CASE
    WHEN by_person THEN '1 answered'
    WHEN outcome = 'answered' AND to_kind = 'machine' THEN '2 abandoned'
    WHEN outcome = 'voicemail' THEN '3 voicemail'
    WHEN outcome = 'answered' THEN '4 abandoned'
    WHEN outcome = 'busy' THEN '5 busy'
    WHEN outcome = 'no_answer' THEN '6 no_answer'
    WHEN outcome = 'cancelled' THEN '7 cancelled'
    WHEN outcome = 'failed' THEN '8 failed'
    ELSE '9 unknown'
END;
