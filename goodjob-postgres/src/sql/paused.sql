-- Tail of the question what is paused.
SELECT something, queues, classes FROM paused;
