"""
HTTP: the cookie and its policy, the request, the reply and the site.

Everything here may know Twisted's web server and the layers below; nothing
below may know anything of this one.
"""
