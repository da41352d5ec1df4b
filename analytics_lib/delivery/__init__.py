"""Mails: composed from a report or an insight, claimed in the outbox, saved as a file, sent by SMTP.

`outbox` decides who sends what and writes down what became of it; `smtp` speaks to the server and says
in which of four ways it ended; `mail` and `page` make the message.
"""
